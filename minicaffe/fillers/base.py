"""The registry of fillers and the fans they scale by."""

import functools
import math

import numpy as np

from ..backend import assign
from ..errors import Error
from ..proto.caffe_pb2 import FillerParameter
from ..registry import Registry
from ..structured import ramanujan

_registry, _sparse = Registry("filler type"), Registry("sparse filler type")

# Decorator, @register_filler("xavier"), of function(blob, param, rng), which writes blob.data (and may
# set blob.mask) from the FillerParameter `param` and the numpy.random.Generator `rng`; it raises Error
# where they don't fit the blob's shape.
register_filler = _registry.register


def register_sparse_filler(name):
    """Decorator of function(param, m, n, rng), which gives (Structure, weights) of an (m, n) matrix.

    weights, float64, are as the Structure's layout stores them. The filler of that name writes the
    whole matrix and its mask; layers that store the blocks alone ask for them by sparse_weights.
    """
    def decorate(function):
        @functools.wraps(function)
        def filler(blob, param, rng):
            structure, weights = function(param, *matrix_shape(blob), rng)
            write(blob, ramanujan.to_dense(weights, structure))
            blob.mask = structure.mask()

        _registry[name], _sparse[name] = filler, function
        return function
    return decorate


def filler_type_list():
    """The names of all filler types, sorted."""
    return sorted(_registry)


def fill(blob, param, rng, error=Error):
    """Fill a blob as a FillerParameter says; bad input raises `error`, which names the layer."""
    filler = _registry.find(param.type, error)
    try:
        filler(blob, param, rng)
    except Error as problem:
        raise error(f"filler '{param.type}': {problem}") from problem


def sparse_weights(shape, param, rng, error=Error):
    """(Structure, weights) that a sparse filler gives a matrix (m, n): those that `fill` writes."""
    try:
        return _sparse.find(param.type, Error)(param, *shape, rng)
    except Error as problem:
        raise error(f"filler '{param.type}': {problem}") from problem


def write(blob, values):
    """Copy NumPy values (float64) into the blob's data, whatever its dtype and device."""
    assign(blob.data, values)


def fan(shape, param):
    """The n that xavier and msra divide by: fan in, fan out or their average (filler.hpp).

    Caffe's fans are count / shape[0] and count / shape[1], whatever the axes mean: they are off
    for a transposed InnerProduct and for Deconvolution, and kept so.
    """
    count = math.prod(shape)
    if not shape or not count:
        raise Error(f"a blob of shape {shape} has no inputs and outputs to scale by")
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    return {param.FAN_IN: fan_in, param.FAN_OUT: fan_out,
            param.AVERAGE: (fan_in + fan_out) / 2}[param.variance_norm]


def variance(param, shape):
    """The variance of the entries that a filler draws for a blob of that shape, at least (m, n).

    None where that isn't known or no number above 0. positive_unitball: of long rows.
    """
    if not math.prod(shape):
        return None
    n, kept = fan(shape, param), 1 if param.sparse == -1 else param.sparse / shape[0]
    known = {"gaussian": kept * param.std ** 2 + kept * (1 - kept) * param.mean ** 2,
             "uniform": (param.max - param.min) ** 2 / 12, "xavier": 1 / n, "msra": 2 / n,
             "orthogonal": (1 + param.relu) * param.gain ** 2 / max(shape),
             "positive_unitball": 1 / (3 * math.prod(shape[1:]) ** 2)}
    return known.get(param.type) or None


# the fields of orthogonal and sparse fillers
OWN_FIELDS = tuple(field.name for field in FillerParameter.DESCRIPTOR.fields
                   if field.number >= 10000)


def refuse_own(param, but=()):
    """Error where the FillerParameter gives a field of OWN_FIELDS, but for the names in `but`."""
    refuse(param, *(name for name in OWN_FIELDS if name not in but))


def refuse_others(param, but=()):
    """The same, and where it gives `sparse`."""
    refuse(param, "sparse")
    refuse_own(param, but)


# ---- orthogonal and sparse fillers

def refuse(param, *fields):
    """Error where the FillerParameter gives one of these fields, which the filler does not read."""
    for field in fields:
        if param.HasField(field):
            raise Error(f"{field} is for other fillers")


def matrix_shape(blob):
    """(m, n) of a blob that holds a matrix; Error where it holds none."""
    if len(blob.shape) != 2:
        raise Error(f"needs a matrix (2 axes), not a blob of shape {blob.shape}; convolutions take "
                    "delta_orthogonal, sao_delta, eco or sao_eco")
    return blob.shape


def kernel_shape(blob):
    """((m, n), sizes of the kernels) of a blob that holds a convolution's weights, or Error."""
    if len(blob.shape) < 3:
        raise Error("needs a convolution's weights (outputs, inputs, and the sides of kernels), "
                    f"not a blob of shape {blob.shape}")
    return blob.shape[:2], blob.shape[2:]


def quarter(m, n):
    """(m/2, n/2), the size of H0 in the ReLU form of an (m, n) matrix; Error where one is odd."""
    if m % 2 or n % 2:
        raise Error(f"relu needs even numbers of outputs and inputs, not {m} and {n}")
    return m // 2, n // 2


def sparse_structure(param, m, n, rng):
    """The structure of an (m, n) matrix that a FillerParameter describes: ramanujan.structure.

    The degree is `degree`, or that of `sparsity`. Variant 3 draws from rng; variants 1 and 2 from
    structure_seed, so all layers of one shape, degree and seed have one structure, whatever else
    the net holds. With relu it is the structure of the quarter H0 of the ReLU form, (m/2, n/2) and
    of half the degree: the four of them give the matrix the degree and the sparsity asked for.
    """
    if param.variant not in (1, 2, 3):
        raise Error(f"variant {param.variant} must be 1, 2 or 3")
    if param.variant != 3:
        rng = np.random.default_rng(param.structure_seed)
    elif param.HasField("structure_seed"):
        raise Error("structure_seed is for variants 1 and 2: variant 3 has a structure a layer")
    if param.HasField("degree") == param.HasField("sparsity"):
        raise Error("needs either degree or sparsity")
    quarters, degree = quarter(m, n) if param.relu else None, param.degree
    if param.HasField("sparsity"):
        degree = ramanujan.degree_of_sparsity(m, n, param.sparsity, param.crop, param.relu)
    if param.relu:
        m, n = quarters
        if degree % 2 or (degree // 2 not in ramanujan.valid_degrees(m, n) and not param.crop):
            known = ", ".join(str(2 * d) for d in ramanujan.valid_degrees(m, n))
            raise Error(f"degree {degree} does not fit four quarters of {m} x {n} (relu): it can "
                        f"be {known}")
        degree //= 2
    return ramanujan.structure(m, n, degree, rng, param.crop)
