"""The registry of fillers and the fans they scale by."""

import math

from ..backend import assign
from ..errors import Error
from ..registry import Registry

_registry = Registry("filler type")

# Decorator, @register_filler("xavier"), of function(blob, param, rng), which writes blob.data (and may
# set blob.mask) from the FillerParameter `param` and the numpy.random.Generator `rng`; it raises Error
# where they don't fit the blob's shape.
register_filler = _registry.register


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


def write(blob, values):
    """Copy NumPy values (float64) into the blob's data, whatever its dtype and device."""
    assign(blob.data, values)


def fan(blob, param):
    """The n that xavier and msra divide by: fan in, fan out or their average (filler.hpp).

    Caffe's fans are count / shape[0] and count / shape[1], whatever the axes mean: they are off
    for a transposed InnerProduct and for Deconvolution, and kept so.
    """
    count = math.prod(blob.shape)
    if not blob.shape or not count:
        raise Error(f"a blob of shape {blob.shape} has no inputs and outputs to scale by")
    fan_in = count / blob.shape[0]
    fan_out = count / blob.shape[1] if len(blob.shape) > 1 else count
    return {param.FAN_IN: fan_in, param.FAN_OUT: fan_out,
            param.AVERAGE: (fan_in + fan_out) / 2}[param.variance_norm]
