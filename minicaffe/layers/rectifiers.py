"""Relatives of ReLU: BNLL, ELU, Swish and SiLU, GELU entry by entry; PReLU and MaxMin by channels.

All may be in place.
"""

import math

from scipy.special import erf

from ..blob import Blob
from ..primitives.elementwise import Blocks, map_pieces
from .base import ElementwiseLayer, Layer, register_layer


@register_layer("BNLL")
class BNLL(ElementwiseLayer):
    """Binomial normal log likelihood (softplus).

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = log(1 + exp(x)), computed as max(x, 0) + log(1 + exp(-|x|)), which can't overflow
    backward:  dx = dy exp(x) / (1 + exp(x)) = dy (1 - exp(-y)), right in place too
    Source: bnll_layer.cpp.
    """

    scratch = 1

    def values(self, x, y, tail):
        xp = self.xp
        xp.abs(x, out=tail)
        xp.negative(tail, out=tail)
        xp.exp(tail, out=tail)
        xp.log1p(tail, out=tail)
        xp.maximum(x, 0, out=y)
        y += tail

    def gradient(self, x, y, dy, dx, slope):
        self.xp.negative(y, out=slope)
        self.xp.expm1(slope, out=slope)
        self.xp.negative(slope, out=slope)
        self.xp.multiply(dy, slope, out=dx)


@register_layer("ELU")
class ELU(ElementwiseLayer):
    """Exponential linear unit.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = max(x, 0) + alpha (exp(min(x, 0)) - 1)
    backward:  dx = dy where x > 0, dy (y + alpha) elsewhere
    In place, y's sign stands for x's, which needs alpha >= 0.
    Source: elu_layer.cpp; Clevert et al., ICLR 2016.
    """

    message = "elu_param"
    scratch = 2

    def setup(self, bottom, top):
        super().setup(bottom, top)
        if self.param.alpha < 0 and bottom[0] is top[0]:
            raise self.error(f"alpha {self.param.alpha:g} can't be in place: the gradient needs "
                             "the input's sign, which would be lost")

    def values(self, x, y, curve, _):
        xp = self.xp
        xp.minimum(x, 0, out=curve)
        xp.exp(curve, out=curve)
        curve -= 1
        if 0 <= self.param.alpha <= 1:                     # then the curve lies above the diagonal
            curve *= self.param.alpha
            xp.maximum(x, curve, out=y)
        else:
            curve *= self.param.alpha
            xp.maximum(x, 0, out=y)
            y += curve

    def gradient(self, x, y, dy, dx, slope, flag):
        xp = self.xp
        xp.minimum(y, 0, out=slope)
        slope += self.param.alpha                          # alpha where x > 0
        if self.param.alpha != 1:
            xp.less_equal(x, 0, out=flag)
            slope *= flag
            xp.greater(x, 0, out=flag)
            slope += flag
        xp.multiply(dy, slope, out=dx)


@register_layer("Swish")
class Swish(ElementwiseLayer):
    """The input times its logistic function s = 1 / (1 + exp(-beta x)), which is kept.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = x s             backward:  dx = dy (beta y + s (1 - beta y))
    Source: swish_layer.cpp; Ramachandran et al., arXiv:1710.05941.
    """

    message = "swish_param"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.beta = self.param.beta if self.message else 1.0
        self.sigmoid = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.sigmoid.reshape_like(bottom[0])

    def forward(self, bottom, top):
        map_pieces(self.xp, self._values, bottom[0].data, self.sigmoid.data, top[0].data)

    def _values(self, x, s, y):
        self.xp.multiply(x, self.beta / 2, out=s)
        self.xp.tanh(s, out=s)                             # 1 / (1 + exp(-u)) = tanh(u/2)/2 + 1/2
        s *= 0.5
        s += 0.5
        self.xp.multiply(x, s, out=y)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            map_pieces(self.xp, self._gradient, top[0].data, self.sigmoid.data, top[0].diff,
                       bottom[0].diff, scratch=2)

    def _gradient(self, y, s, dy, dx, slope, rest):
        by = y
        if self.beta != 1:
            by = self.xp.multiply(y, self.beta, out=slope)
        self.xp.subtract(1, by, out=rest)
        rest *= s
        self.xp.add(by, rest, out=slope)
        self.xp.multiply(dy, slope, out=dx)


@register_layer("SiLU")
class SiLU(Swish):
    """Swish with beta = 1: y = x / (1 + exp(-x)); shapes and gradient as there."""

    message = None


@register_layer("GELU")
class GELU(ElementwiseLayer):
    """Gaussian error linear unit, F and f the normal distribution function and its density.

    bottom[0]  x  any shape        top[0]  y  the same
    ERF   y = x F(x), F(x) = (1 + erf(x / sqrt 2)) / 2         dx = dy (F(x) + x f(x))
    TANH  y = x (1 + t) / 2, t = tanh(u), u = k (x + c x^3)    dx = dy ((1 + t) / 2 +
          k = sqrt(2 / pi), c = 0.044715                            x (1 - t^2) k (1 + 3 c x^2) / 2)
    Source: Hendrycks and Gimpel, arXiv:1606.08415, Section 2.
    """

    message = "gelu_param"
    needs_input = True
    scratch = 3
    k, c = math.sqrt(2 / math.pi), 0.044715

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.exact = self.param.form == self.param.ERF

    def values(self, x, y, share, *_):
        self._share(x, share)
        self.xp.multiply(x, share, out=y)

    def _share(self, x, share):
        """share = y / x: F(x), or (1 + t) / 2."""
        xp = self.xp
        if self.exact:
            xp.multiply(x, math.sqrt(0.5), out=share)
            erf(share, out=share)
        else:
            xp.multiply(x, x, out=share)
            share *= self.k * self.c
            share += self.k
            share *= x
            xp.tanh(share, out=share)
        share += 1
        share *= 0.5

    def gradient(self, x, y, dy, dx, share, work, rate):
        xp = self.xp
        self._share(x, share)
        if self.exact:
            xp.multiply(x, x, out=work)
            work *= -0.5
            xp.exp(work, out=work)
            work *= 1 / math.sqrt(2 * math.pi)
            work *= x
        else:                              # (1 - t^2) / 2 = 2 share (1 - share)
            xp.subtract(1, share, out=work)
            work *= share
            work *= x
            xp.multiply(x, x, out=rate)
            rate *= 6 * self.k * self.c
            rate += 2 * self.k
            work *= rate
        share += work
        xp.multiply(dy, share, out=dx)


@register_layer("PReLU")
class PReLU(Layer):
    """Rectified linear unit with a slope learnt for each channel, or for all together.

    bottom[0]  x  (N, C, ...)        blobs[0]  a  (C,), or () if channel_shared; default filler 0.25
    top[0]     y  the same
    forward:   y = max(x, 0) + a min(x, 0)
    backward:  dx = dy where x > 0, a dy elsewhere        da_c += sum over x_c <= 0 of dy x
    In place, a copy of x is kept.
    Source: prelu_layer.cpp; He et al., ICCV 2015.
    """

    message = "prelu_param"

    def setup(self, bottom, top):
        if bottom[0].num_axes < 2:
            raise self.error(f"the bottom must have at least 2 axes (N, C, ...), "
                             f"not {bottom[0].shape}")
        shape = () if self.param.channel_shared else (bottom[0].shape[1],)
        self.add_blob(shape, self.filler("filler", 0.25))
        self.input = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        x = bottom[0]
        if x.num_axes < 2 or self.blobs[0].shape not in ((), (x.shape[1],)):
            raise self.error(f"a bottom of shape {x.shape} does not fit slopes of shape "
                             f"{self.blobs[0].shape}")
        top[0].reshape_like(x)
        if x is top[0]:
            self.input.reshape_like(x)
        shape = (x.size, 1, 1) if self.param.channel_shared \
            else (x.shape[0], x.shape[1], x.count(2))
        self.blocks = Blocks(self.xp, *shape)
        self.sums = self.blocks.buffer(1)

    def forward(self, bottom, top):
        x, y = bottom[0].data, top[0].data
        a, usual = self._slopes()

        def values(at, x, y, *rest):
            *kept, leak = rest
            for copy in kept:
                copy[...] = x
            if usual:                                      # then a x <= x just where x >= 0
                self.xp.multiply(x, a[at[1]], out=leak)
                self.xp.maximum(x, leak, out=y)
            else:
                self.xp.minimum(x, 0, out=leak)
                leak *= a[at[1]]
                self.xp.maximum(x, 0, out=y)
                y += leak

        kept = [self.input.data] if bottom[0] is top[0] else []
        self.blocks.map(values, *self._cut(x, y, *kept), scratch=1)

    def backward(self, top, propagate_down, bottom):
        (a, usual), sums = self._slopes(), self.sums
        x = self.input.data if bottom[0] is top[0] else bottom[0].data
        sums.fill(0)

        def gradient(at, x, dy, dx, low, factor):
            if self.param_propagate_down[0]:
                self.xp.minimum(x, 0, out=low)
                sums[0][at] += self.xp.einsum("ncs,ncs->c", dy, low)
            if propagate_down[0]:
                self.xp.greater(x, 0, out=factor)
                if usual:
                    self.xp.maximum(factor, a[at[1]], out=factor)
                else:
                    self.xp.less_equal(x, 0, out=low)
                    low *= a[at[1]]
                    factor += low
                self.xp.multiply(dy, factor, out=dx)

        self.blocks.map(gradient, *self._cut(x, top[0].diff, bottom[0].diff), scratch=2)
        if self.param_propagate_down[0]:
            self.blobs[0].diff += sums[0].sum(axis=0).reshape(self.blobs[0].shape)

    def _slopes(self):
        """The slopes as a column, and whether all are in 0 .. 1, for which quicker steps do."""
        a = self.blobs[0].data.reshape(-1, 1)
        return a, bool(((a >= 0) & (a <= 1)).all())

    def _cut(self, *arrays):
        return [a.reshape(self.blocks.shape) for a in arrays]


@register_layer("MaxMin")
class MaxMin(Layer):
    """Sort pairs of slices: an activation that keeps the norm of gradients.

    The axis has C = 2h slices; slice i is paired with slice i + h:
    bottom[0]  x  (..., C, ...)        top[0]  y  the same
    forward:   y_i = max(x_i, x_{i+h})     y_{i+h} = min(x_i, x_{i+h})       i = 0 .. h-1
    backward:  each dy goes where the value came from; on a tie dx = dy, as if x_i were the larger
    Source: Anil, Lucas and Grosse, ICML 2019, Section 4.2.
    """

    message = "max_min_param"

    def setup(self, bottom, top):
        self.swapped = Blob(dtype=bool)

    def reshape(self, bottom, top):
        x, axis = bottom[0], bottom[0].canonical_axis(self.param.axis)
        if x.shape[axis] % 2:
            raise self.error(f"size {x.shape[axis]} of axis {axis} is odd: slices come in pairs")
        top[0].reshape_like(x)
        self.outer, self.half = x.count(0, axis), x.count(axis) // 2
        self.swapped.reshape(self.outer, self.half)
        self.blocks = Blocks(self.xp, self.outer, self.half, 1)

    def forward(self, bottom, top):
        def values(at, a, b, larger, smaller, swapped, work):
            self.xp.less(a, b, out=swapped)
            self.xp.minimum(a, b, out=work)
            self.xp.maximum(a, b, out=larger)
            smaller[...] = work

        self.blocks.map(values, *self._halves(bottom[0].data), *self._halves(top[0].data),
                        self.swapped.data, scratch=1)

    def backward(self, top, propagate_down, bottom):
        def gradient(at, larger, smaller, da, db, swapped, both):
            self.xp.bitwise_xor(larger, smaller, out=both)
            both *= swapped
            self.xp.bitwise_xor(larger, both, out=da)      # da may be the memory of `larger`,
            self.xp.bitwise_xor(smaller, both, out=db)     # db that of `smaller`

        if propagate_down[0]:
            whole = f"i{self.dtype.itemsize}"              # bits, to be swapped by exclusive or
            self.blocks.map(gradient, *self._halves(top[0].diff.view(whole)),
                            *self._halves(bottom[0].diff.view(whole)), self.swapped.data, scratch=1)

    def _halves(self, a):
        """The first and the second half of the slices, each (outer, half): views."""
        a = a.reshape(self.outer, 2, self.half)
        return a[:, 0], a[:, 1]
