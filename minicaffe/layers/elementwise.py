"""Eltwise: several blobs of one shape into one."""

import numpy as np

from ..blob import Blob
from .base import Layer, register_layer


@register_layer("Eltwise")
class Eltwise(Layer):
    """Product, weighted sum or maximum of the bottoms, entry by entry.

    bottom[i]  x_i  any shape, i = 0 .. B-1, B >= 2        top[0]  y  the same
    PROD  y = prod_i x_i         dx_i = dy prod_{j != i} x_j    (stable_prod_grad: true), or
                                 dx_i = dy y / x_i              (false: faster, NaN where x_i = 0)
    SUM   y = sum_i a_i x_i      dx_i = a_i dy                  a_i: coeff, default 1
    MAX   y = max_i x_i          dx_i = dy where x_i is the maximum, 0 elsewhere
    On a tie of x_0 and x_1 the maximum is x_1; later bottoms must be strictly greater.
    Source: eltwise_layer.cpp.
    """

    message = "eltwise_param"
    num_bottom = (2, None)

    def setup(self, bottom, top):
        p = self.param
        if any(b is top[0] for b in bottom):
            raise self.error("can't be computed in place: the top needs a name of its own")
        if p.coeff and p.operation != p.SUM:
            raise self.error("coeff is for operation: SUM only")
        if p.coeff and len(p.coeff) != len(bottom):
            raise self.error(f"coeff is given {len(p.coeff)} times for {len(bottom)} bottoms")
        self.coeff = list(p.coeff) or [1.0] * len(bottom)
        self.operation = {p.PROD: "prod", p.SUM: "sum", p.MAX: "max"}[p.operation]
        self.work = Blob(dtype=self.dtype)
        self.winner, self.flag = Blob(dtype=np.int32), Blob(dtype=bool)

    def reshape(self, bottom, top):
        for i, b in enumerate(bottom):
            if b.shape != bottom[0].shape:
                raise self.error(f"bottom {i} has the shape {b.shape}, bottom 0 {bottom[0].shape}: "
                                 "they must be equal")
        for blob in (top[0], self.work, self.winner, self.flag):
            blob.reshape_like(bottom[0])

    def forward(self, bottom, top):
        getattr(self, f"_forward_{self.operation}")([b.data for b in bottom], top[0].data)

    def backward(self, top, propagate_down, bottom):
        gradient = getattr(self, f"_gradient_{self.operation}")
        for i, wanted in enumerate(propagate_down):
            if wanted:
                gradient(i, bottom, top[0], bottom[i].diff)

    def _forward_prod(self, x, y):
        self.xp.multiply(x[0], x[1], out=y)
        for x_i in x[2:]:
            y *= x_i

    def _gradient_prod(self, i, bottom, top, dx):
        if self.param.stable_prod_grad:
            dx[...] = top.diff
            for j, b in enumerate(bottom):
                if j != i:
                    dx *= b.data
        else:
            self.xp.divide(top.data, bottom[i].data, out=dx)
            dx *= top.diff

    def _forward_sum(self, x, y):
        self.xp.multiply(x[0], self.coeff[0], out=y)
        for x_i, a in zip(x[1:], self.coeff[1:]):
            if a != 1:
                x_i = self.xp.multiply(x_i, a, out=self.work.data)
            y += x_i

    def _gradient_sum(self, i, bottom, top, dx):
        self.xp.multiply(top.diff, self.coeff[i], out=dx)

    def _forward_max(self, x, y):
        xp, winner, flag = self.xp, self.winner.data, self.flag.data
        xp.less_equal(x[0], x[1], out=flag)
        winner[...] = flag
        xp.maximum(x[0], x[1], out=y)
        for i, x_i in enumerate(x[2:], start=2):
            xp.greater(x_i, y, out=flag)
            xp.copyto(winner, i, where=flag)
            xp.maximum(y, x_i, out=y)

    def _gradient_max(self, i, bottom, top, dx):
        self.xp.equal(self.winner.data, i, out=self.flag.data)
        self.xp.multiply(top.diff, self.flag.data, out=dx)
