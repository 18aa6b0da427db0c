"""Eltwise: several blobs of one shape into one."""

import numpy as np

from ..backend import Kernels
from ..blob import Blob
from ..primitives.device_loops import entries, launch
from ..primitives.elementwise import map_pieces, scratch_arrays
from .base import Layer, register_layer


_ELTWISE = Kernels("eltwise", entries("sum", "a b", "y", "y = p * a + q * b;", "p q")
                   + entries("scaled", "dy", "dx", "dx = p * dy;", "p")
                   + entries("quotient", "dy y x", "dx", "dx = y / x * dy;") + """
extern "C" __global__ void first_maximum(Index n, const Real *a, const Real *b, Real *y,
                                         int *winner)
{
    GRID_LOOP(i, n) {
        const bool second = a[i] <= b[i];
        winner[i] = second;
        y[i] = second || b[i] != b[i] ? b[i] : a[i];               // a NaN goes through
    }
}

extern "C" __global__ void next_maximum(Index n, const Real *x, Real *y, int *winner, Index number)
{
    GRID_LOOP(i, n) {
        if (x[i] > y[i]) winner[i] = number;
        if (x[i] > y[i] || x[i] != x[i]) y[i] = x[i];
    }
}

extern "C" __global__ void maximum_gradient(Index n, const Real *dy, const int *winner, Real *dx,
                                            Index number)
{
    GRID_LOOP(i, n) dx[i] = winner[i] == number ? dy[i] : 0;
}
""")


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
        self.winner = Blob(dtype=np.int32)

    def reshape(self, bottom, top):
        for i, b in enumerate(bottom):
            if b.shape != bottom[0].shape:
                raise self.error(f"bottom {i} has the shape {b.shape}, bottom 0 {bottom[0].shape}: "
                                 "they must be equal")
        for blob in (top[0], self.winner):
            blob.reshape_like(bottom[0])

    def forward(self, bottom, top):
        values = getattr(self, f"_{self.operation}")
        outputs = [top[0].data] + [self.winner.data] * (self.operation == "max")
        map_pieces(self.xp, values, *outputs, *(b.data for b in bottom))

    def forward_gpu(self, bottom, top):
        (first, second, *rest), y = [b.data for b in bottom], top[0].data
        if self.operation == "sum":
            launch(_ELTWISE, "sum", first, second, y, *self.coeff[:2])
            for x, a in zip(rest, self.coeff[2:]):
                launch(_ELTWISE, "sum", y, x, y, 1.0, a)
        elif self.operation == "max":
            launch(_ELTWISE, "first_maximum", first, second, y, self.winner.data)
            for i, x in enumerate(rest, start=2):
                launch(_ELTWISE, "next_maximum", x, y, self.winner.data, i)
        else:
            self._prod(y, first, second, *rest)

    def backward(self, top, propagate_down, bottom):
        for i, wanted in enumerate(propagate_down):
            if wanted:
                self._backward(i, bottom, top[0])

    def _backward(self, i, bottom, top):
        """The gradient of bottom i."""
        xp, dy, dx = self.xp, top.diff, bottom[i].diff
        if self.operation == "sum":
            map_pieces(xp, lambda dy, dx: xp.multiply(dy, self.coeff[i], out=dx), dy, dx)
        elif self.operation == "max":
            map_pieces(xp, lambda *pieces: self._max_gradient(i, *pieces), dy, self.winner.data, dx)
        elif self.param.stable_prod_grad:
            others = [b.data for j, b in enumerate(bottom) if j != i]
            map_pieces(xp, self._prod, dx, dy, *others)
        else:
            map_pieces(xp, self._quotient, dx, dy, top.data, bottom[i].data)

    def backward_gpu(self, top, propagate_down, bottom):
        dy = top[0].diff
        for i, wanted in enumerate(propagate_down):
            if not wanted:
                continue
            dx, others = bottom[i].diff, [b.data for j, b in enumerate(bottom) if j != i]
            if self.operation == "sum":
                launch(_ELTWISE, "scaled", dy, dx, self.coeff[i])
            elif self.operation == "max":
                launch(_ELTWISE, "maximum_gradient", dy, self.winner.data, dx, i)
            elif self.param.stable_prod_grad:
                self._prod(dx, dy, *others)
            else:
                launch(_ELTWISE, "quotient", dy, top[0].data, bottom[i].data, dx)

    def _prod(self, y, *x):
        self.xp.multiply(x[0], x[1], out=y)
        for x_i in x[2:]:
            y *= x_i

    def _quotient(self, dx, dy, y, x):
        self.xp.divide(y, x, out=dx)
        dx *= dy

    def _sum(self, y, *x):
        if self.coeff[0] == self.coeff[1] == 1:
            self.xp.add(x[0], x[1], out=y)
            first = 2
        else:
            self.xp.multiply(x[0], self.coeff[0], out=y)
            first = 1
        for x_i, a in zip(x[first:], self.coeff[first:]):
            if a != 1:
                part, = scratch_arrays(self.xp, 1, y.shape, y.dtype)
                x_i = self.xp.multiply(x_i, a, out=part)
            y += x_i

    def _max(self, y, winner, *x):
        xp = self.xp
        flag, = scratch_arrays(xp, 1, y.shape, bool)
        xp.less_equal(x[0], x[1], out=flag)
        winner[...] = flag
        xp.maximum(x[0], x[1], out=y)
        for i, x_i in enumerate(x[2:], start=2):
            xp.greater(x_i, y, out=flag)
            xp.copyto(winner, i, where=flag)
            xp.maximum(y, x_i, out=y)

    def _max_gradient(self, i, dy, winner, dx):
        flag, = scratch_arrays(self.xp, 1, dy.shape, bool)
        self.xp.equal(winner, i, out=flag)
        self.xp.multiply(dy, flag, out=dx)
