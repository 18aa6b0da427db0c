"""Relatives of ReLU, entry by entry: BNLL, ELU, Swish and SiLU, GELU; all may be in place."""

import math

import numpy as np
from scipy.special import erf

from ..backend import Kernels
from ..blob import Blob
from ..primitives.device_loops import elementwise_kernels, entries, launch
from ..primitives.elementwise import map_pieces
from .base import ElementwiseLayer, register_layer


_BNLL = elementwise_kernels("bnll", "y = (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));",
                            "dx = dy * -expm1(-y);")


@register_layer("BNLL")
class BNLL(ElementwiseLayer):
    """Binomial normal log likelihood (softplus).

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = log(1 + exp(x)), computed as max(x, 0) + log(1 + exp(-|x|)), which can't overflow
    backward:  dx = dy exp(x) / (1 + exp(x)) = dy (1 - exp(-y)), right in place too
    Source: bnll_layer.cpp.
    """

    scratch = 1
    kernels = _BNLL

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


_ELU = elementwise_kernels("elu", parameters="alpha",
                           values="y = x > 0 ? x : alpha * (exp(x) - 1);",
                           gradient="dx = x > 0 ? dy : dy * (y + alpha);")


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
    kernels = _ELU

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

    def constants(self):
        return float(self.param.alpha),


_SWISH = Kernels("swish", entries("values", "x", "s y", parameters="beta", body="""
        s = tanh(x * (beta / 2)) * Real(0.5) + Real(0.5);
        y = x * s;""") + entries("gradient", "y s dy", "dx", parameters="beta", body="""
        dx = dy * (beta * y + (1 - beta * y) * s);"""))


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

    def forward_gpu(self, bottom, top):
        launch(_SWISH, "values", bottom[0].data, self.sigmoid.data, top[0].data, float(self.beta))

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

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            launch(_SWISH, "gradient", top[0].data, self.sigmoid.data, top[0].diff, bottom[0].diff,
                   float(self.beta))

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


_GELU_SHARE = """
        const Real k = 0.7978845608028654, c = 0.044715;                 // k = sqrt(2 / pi)
        const Real share = (1 + (exact != 0 ? erf(x * Real(0.7071067811865476))
                                            : tanh((k * c * x * x + k) * x))) / 2;"""
_GELU = elementwise_kernels("gelu", _GELU_SHARE + "y = x * share;", _GELU_SHARE + """
        const Real rest = exact != 0 ? exp(x * x / -2) * (k / 2)         // k / 2 = 1 / sqrt(2 pi)
            : (1 - share) * share * (6 * k * c * x * x + 2 * k);
        dx = dy * (share + x * rest);""", parameters="exact")


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
    kernels = _GELU
    k, c = math.sqrt(2 / math.pi), 0.044715
    # atanh(erf(x / sqrt 2)) / x by powers of x^2, for float32: fitted for the least error of erf,
    # 6e-8, half the rounding of 1. With SciPy's erf it takes six times as long.
    erf_powers = (0.797884941, 0.0363330846, -3.25949643e-05, -5.53061991e-05, 3.96474554e-06,
                  -1.32263439e-07, 1.75617382e-09)

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.exact = self.param.form == self.param.ERF
        self.powers = self.erf_powers if self.exact else (self.k, self.k * self.c)

    def values(self, x, y, share, work, _):
        self._share(x, share, work)
        self.xp.multiply(x, share, out=y)

    def _share(self, x, share, work):
        """share = y / x: F(x), or (1 + t) / 2."""
        xp = self.xp
        if self.exact and x.dtype == np.float64:
            xp.multiply(x, math.sqrt(0.5), out=share)
            erf(share, out=share)
        else:
            xp.multiply(x, x, out=work)
            xp.minimum(work, 100, out=work)         # the sixth power of it may overflow
            xp.multiply(work, self.powers[-1], out=share)
            for power in self.powers[-2:0:-1]:
                share += power
                share *= work
            share += self.powers[0]
            share *= x
            xp.tanh(share, out=share)
        share += 1
        share *= 0.5

    def gradient(self, x, y, dy, dx, share, work, rate):
        xp = self.xp
        self._share(x, share, work)
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

    def constants(self):
        return float(self.exact),
