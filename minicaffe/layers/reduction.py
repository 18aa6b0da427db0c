"""Reduction: one number of all entries from an axis on."""

import numpy as np

from ..backend import Kernels
from ..blob import Blob
from .base import Layer, register_layer

_PART = 1 << 14              # GPU: numbers that one block adds up

_KERNELS = Kernels("reduction", """
// kind: 0 sum, 1 of absolute values, 2 of squares. A row's `parts` blocks leave a sum each.
extern "C" __global__ void add_parts(Index D, Index parts, Index kind, const Real* x, double* sums)
{
    __shared__ double shared[256];
    const Index row = blockIdx.x / parts, part = blockIdx.x % parts;
    const int t = threadIdx.x;
    double sum = 0;
    for (Index d = part * blockDim.x + t; d < D; d += parts * blockDim.x) {
        const Real value = x[row * D + d];
        sum += kind == 0 ? value : kind == 1 ? (value < 0 ? -value : value) : value * value;
    }
    shared[t] = sum;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half)
            shared[t] += shared[t + half];
        __syncthreads();
    }
    if (t == 0)
        sums[blockIdx.x] = shared[0];
}

extern "C" __global__ void join_parts(Index rows, Index parts, const double* sums, double coeff,
                                      Real* y)
{
    GRID_LOOP(row, rows) {
        double sum = 0;
        for (Index part = 0; part < parts; ++part)
            sum += sums[row * parts + part];
        y[row] = coeff * sum;
    }
}
""")


@register_layer("Reduction")
class Reduction(Layer):
    """Sum, sum of absolute values, sum of squares or mean over the axes from `axis` on.

    M = count before the axis, D = count from it on:
    bottom[0]  x  (M, D)        top[0]  y  the shape before the axis: () for axis 0, the default
    forward:   SUM  y = k sum_d x          backward:  dx = k dy
               ASUM y = k sum_d |x|                   dx = k dy sign(x)
               SUMSQ y = k sum_d x^2                  dx = 2 k dy x
               MEAN y = k/D sum_d x                   dx = k/D dy        k = coeff
    Source: reduction_layer.cpp.
    """

    message = "reduction_param"

    def setup(self, bottom, top):
        self.work, self.sums = Blob(dtype=self.dtype), Blob(dtype=np.float64)
        p = self.param
        self.kind = {p.ASUM: 1, p.SUMSQ: 2}.get(p.operation, 0)

    def reshape(self, bottom, top):
        x, p = bottom[0], self.param
        axis = x.canonical_axis(p.axis) if x.shape or p.axis else 0
        self.sizes = x.count(0, axis), x.count(axis)
        self.coeff = p.coeff
        if p.operation == p.MEAN:
            if not self.sizes[1]:
                raise self.error(f"a bottom of shape {x.shape} has nothing to take the mean of")
            self.coeff = p.coeff / self.sizes[1]
        if p.operation == p.ASUM:
            self.work.reshape(self.sizes)
        top[0].reshape(x.shape[:axis])
        self.parts = max(1, -(-self.sizes[1] // _PART))
        self.sums.reshape(self.sizes[0], self.parts)

    def forward(self, bottom, top):
        p, x, y = self.param, bottom[0].data.reshape(self.sizes), top[0].data.reshape(-1)
        if p.operation == p.SUMSQ:
            self.xp.einsum("md,md->m", x, x, out=y)
        else:
            if p.operation == p.ASUM:
                x = self.xp.abs(x, out=self.work.data)
            x.sum(axis=1, out=y)
        y *= self.coeff

    def forward_gpu(self, bottom, top):
        (M, D), sums = self.sizes, self.sums.data
        _KERNELS.by_blocks("add_parts", self.dtype, M * self.parts, D, self.parts, self.kind,
                           bottom[0].data, sums)
        _KERNELS("join_parts", self.dtype, M, M, self.parts, sums, self.coeff, top[0].data)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        p = self.param
        x, dx = bottom[0].data.reshape(self.sizes), bottom[0].diff.reshape(self.sizes)
        scale = self.coeff * top[0].diff.reshape(-1, 1)
        if p.operation == p.ASUM:
            self.xp.sign(x, out=dx)
            dx *= scale
        elif p.operation == p.SUMSQ:
            self.xp.multiply(x, 2 * scale, out=dx)
        else:
            dx[...] = scale
