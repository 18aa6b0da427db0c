"""Reduction: one number of all entries from an axis on."""

from ..blob import Blob
from .base import Layer, register_layer


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
        self.work = Blob(dtype=self.dtype)

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

    def forward(self, bottom, top):
        p, x, y = self.param, bottom[0].data.reshape(self.sizes), top[0].data.reshape(-1)
        if p.operation == p.SUMSQ:
            self.xp.einsum("md,md->m", x, x, out=y)
        else:
            if p.operation == p.ASUM:
                x = self.xp.abs(x, out=self.work.data)
            x.sum(axis=1, out=y)
        y *= self.coeff

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
