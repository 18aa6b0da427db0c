"""One number a channel: a bias added to arrays (N, C, ...), and their sums over everything else.

A matrix (M, N) is the case of no further axes: its columns are the channels.
"""

import functools
import math

import numpy as np

from ..backend import Kernels
from .device_loops import channel_sums, entries
from .elementwise import Blocks

_TERMS = 32                  # that a thread adds up: cheaper than a launch to add partial sums

KERNELS = Kernels("channels", entries("add_bias", "x", "y", "y = x + bias;", columns="bias")
                  + channel_sums("sums", "dy", ["dy"])
                  + channel_sums("add_sums", "dy", ["dy"], added=True))


def add_bias(xp, y, bias):
    """y (N, C, ...) += bias (C,) of each channel; y must be contiguous on the GPU."""
    if xp is np:
        y += bias.reshape(-1, *(1,) * (y.ndim - 2))
    elif y.size:
        _blocks(xp, y.shape).launch(KERNELS, "add_bias", y, y, bias)


def add_sums(xp, dy, out):
    """out (C,) += the sums of dy (N, C, ...) over all other axes: a bias's gradient.

    On the GPU, where dy must be contiguous, sums are made in double precision and a fixed order.
    """
    if xp is np:
        out += dy.sum(axis=(0, *range(2, dy.ndim)))
        return
    if not dy.size:
        return
    blocks = _blocks(xp, dy.shape)
    if blocks.groups == 1:
        blocks.launch_sums(KERNELS, "add_sums", out, dy)
    else:
        sums = xp.empty((blocks.groups, dy.shape[1]))
        blocks.launch_sums(KERNELS, "sums", sums, dy)
        blocks.add_total(sums, out)


@functools.lru_cache(maxsize=1 << 12)
def _blocks(xp, shape):
    return Blocks(xp, *shape[:2], math.prod(shape[2:]), terms=_TERMS)
