"""One number a channel: a bias added to arrays (N, C, ...), and their sums over everything else.

A matrix (M, N) is the case of no further axes: its columns are the channels.
"""

import math

import numpy as np

from ..backend import Kernels

_SEGMENT = 4096              # numbers that one block sums: 16 a thread

# `sums` gives a block `width` neighbouring channels, and 256 / width threads to each of them.
# Matrices take 32, since there it is neighbouring channels that lie side by side in memory.
KERNELS = Kernels("channels", r"""
extern "C" __global__ void add_bias(Index n, Index C, Index S, const Real *bias, Real *y)
{
    GRID_LOOP(i, n) y[i] += bias[i / S % C];
}

extern "C" __global__ void sums(Index N, Index C, Index S, Index width, Index segments,
                                const Real *dy, Real *out)
{
    __shared__ double shared[256];
    Index groups = (C + width - 1) / width, segment = blockIdx.x / groups;
    Index c = blockIdx.x % groups * width + threadIdx.x % width, step = 256 / width;
    Index end = (segment + 1) * N * S / segments;
    Index j = segment * N * S / segments + threadIdx.x / width;
    Index n = j / S, s = j % S;
    double sum = 0;
    if (c < C)
        for (; j < end; j += step) {
            sum += dy[(n * C + c) * S + s];
            n += step / S;
            s += step % S;
            if (s >= S) {
                s -= S;
                n++;
            }
        }
    shared[threadIdx.x] = sum;
    for (int half = 128; half >= width; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    if (threadIdx.x < width && c < C) {
        if (segments > 1)
            out[segment * C + c] = shared[threadIdx.x];
        else
            out[c] += shared[threadIdx.x];
    }
}
""")


def add_bias(xp, y, bias):
    """y (N, C, ...) += bias (C,) of each channel; y must be contiguous on the GPU."""
    if xp is np:
        y += bias.reshape(-1, *(1,) * (y.ndim - 2))
    else:
        KERNELS("add_bias", y.dtype, y.size, y.size, y.shape[1], math.prod(y.shape[2:]), bias, y)


def add_sums(xp, dy, out):
    """out (C,) += the sums of dy (N, C, ...) over all other axes: a bias's gradient.

    On the GPU, where dy must be contiguous, segments are summed by a block each (in double
    precision) and then their sums, always in the same order.
    """
    if xp is np:
        out += dy.sum(axis=(0, *range(2, dy.ndim)))
        return
    N, C, S = *dy.shape[:2], math.prod(dy.shape[2:])
    width = 32 if S == 1 else 1
    segments = max(1, N * S // (_SEGMENT // width))
    target = out if segments == 1 else xp.empty((segments, C), dy.dtype)
    KERNELS.by_blocks("sums", dy.dtype, -(-C // width) * segments, N, C, S, width, segments,
                      dy, target)
    if segments > 1:
        add_sums(xp, target, out)
