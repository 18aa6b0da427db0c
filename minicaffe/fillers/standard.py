"""Caffe's own fillers (filler.hpp). All draw in NumPy float64, so a seed means the same values on
every back end and in either precision."""

import math

import numpy as np

from ..errors import Error
from .base import fan, refuse_own, register_filler, write


def _refuse_others(param, but=()):
    if param.sparse != -1:
        raise Error("sparse is for the gaussian filler only")
    refuse_own(param, but)


@register_filler("constant")
def constant(blob, param, rng):
    """Every entry `value`."""
    _refuse_others(param)
    blob.data[...] = param.value


@register_filler("uniform")
def uniform(blob, param, rng):
    """Uniform on [min, max)."""
    _refuse_others(param)
    if param.max < param.min:
        raise Error(f"max {param.max:g} is smaller than min {param.min:g}")
    write(blob, rng.uniform(param.min, param.max, blob.shape))


@register_filler("gaussian")
def gaussian(blob, param, rng):
    """Normal with `mean` and `std`; with `sparse` s, each entry is kept with probability s / shape[0].

    So the expected number of non-zero outputs of one input is s.
    """
    refuse_own(param)
    if param.std < 0:
        raise Error(f"std {param.std:g} is negative")
    values = rng.normal(param.mean, param.std, blob.shape)
    if param.sparse != -1:
        if param.sparse < 0 or not blob.shape or param.sparse > blob.shape[0]:
            raise Error(f"sparse {param.sparse} is not between 0 and the number of outputs of a "
                        f"blob of shape {blob.shape}")
        values *= rng.random(blob.shape) < param.sparse / blob.shape[0]
    write(blob, values)


@register_filler("positive_unitball")
def positive_unitball(blob, param, rng):
    """Uniform on [0, 1), then each row (all that has one index on axis 0) divided by its sum."""
    _refuse_others(param)
    if not blob.shape:
        raise Error("needs a blob with at least one axis")
    rows = rng.random((blob.shape[0], blob.count(1)))
    write(blob, (rows / rows.sum(axis=1, keepdims=True)).reshape(blob.shape))


@register_filler("xavier")
def xavier(blob, param, rng):
    """Uniform on [-sqrt(3/n), sqrt(3/n)), n by variance_norm (Glorot and Bengio 2010).

    values NORMAL: normal with the same variance, 1/n.
    """
    _refuse_others(param, but=["values"])
    n = fan(blob.shape, param)
    if param.values == param.NORMAL:
        write(blob, rng.normal(0, math.sqrt(1 / n), blob.shape))
    else:
        write(blob, rng.uniform(-math.sqrt(3 / n), math.sqrt(3 / n), blob.shape))


@register_filler("msra")
def msra(blob, param, rng):
    """Normal with variance 2/n, n by variance_norm (He et al. 2015)."""
    _refuse_others(param)
    write(blob, rng.normal(0, math.sqrt(2 / fan(blob.shape, param)), blob.shape))


@register_filler("bilinear")
def bilinear(blob, param, rng):
    """Weights of a bilinear interpolation by f = ceil(k/2), for a Deconvolution of kernel k, stride f.

    w[., ., y, x] = (1 - |x/f - c|) (1 - |y/f - c|) with c = (k - 1) / (2f).
    """
    _refuse_others(param)
    if len(blob.shape) != 4 or blob.shape[2] != blob.shape[3]:
        raise Error(f"needs a square kernel (4 axes, the last two equal), not shape {blob.shape}")
    kernel = blob.shape[3]
    factor = math.ceil(kernel / 2)
    tent = 1 - np.abs(np.arange(kernel) / factor - (kernel - 1) / (2 * factor))
    write(blob, np.broadcast_to(np.outer(tent, tent), blob.shape))
