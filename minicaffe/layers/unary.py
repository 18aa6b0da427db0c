"""Arithmetic of single entries: AbsVal, Power, Exp, Log, Clip, Threshold.

All but AbsVal may be in place. Where a gradient needs an input that is overwritten in place, a copy
is kept, as Caffe's PReLU does (Caffe's Log, Power and Clip give a wrong gradient there).
"""

import math

from ..primitives.device_loops import elementwise_kernels
from ..primitives.elementwise import scratch_arrays
from .base import ElementwiseLayer, register_layer


_ABS_VAL = elementwise_kernels("abs_val", "y = fabs(x);",
                               "dx = x > 0 ? dy : x < 0 ? -dy : dy * x;")


@register_layer("AbsVal")
class AbsVal(ElementwiseLayer):
    """Absolute value; not in place.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = |x|             backward:  dx = dy sign(x), 0 where x = 0
    Source: absval_layer.cpp.
    """

    scratch = 1
    kernels = _ABS_VAL

    def setup(self, bottom, top):
        super().setup(bottom, top)
        if bottom[0] is top[0]:
            raise self.error("can't be computed in place: its gradient needs the bottom's sign")

    def values(self, x, y, _):
        self.xp.abs(x, out=y)

    def gradient(self, x, y, dy, dx, sign):
        self.xp.sign(x, out=sign)
        self.xp.multiply(dy, sign, out=dx)


_POWER = elementwise_kernels("power", parameters="power scale shift rate constant", values="""
        const Real t = scale * x + shift;
        y = rate == 0 ? constant : power == 1 ? t : power == 2 ? t * t
            : power == Real(0.5) ? sqrt(t) : power == -1 ? 1 / t : pow(t, power);""", gradient="""
        const Real t = scale * x + shift;
        dx = rate == 0 ? 0 : power == 1 ? dy * rate : power == 2 ? dy * (rate * t)
            : power == Real(0.5) ? dy * (rate / sqrt(t)) : dy * (rate * pow(t, power - 1));""")


@register_layer("Power")
class Power(ElementwiseLayer):
    """A power of a linear function, p = power, a = scale, b = shift.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = (b + a x)^p     backward:  dx = dy p a (b + a x)^(p - 1), or 0 where p a = 0
    NaN where a negative number has a fractional power.
    Source: power_layer.cpp.
    """

    message = "power_param"
    scratch = 1
    kernels = _POWER

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.rate = self.param.power * self.param.scale
        self.needs_input = self.rate != 0 and self.param.power != 1

    def values(self, x, y, _):
        p = self.param
        if self.rate == 0:
            y[...] = self._constant()
        else:
            self._linear(x, p.scale, p.shift, out=y)
            self._raise(y, p.power)

    def _constant(self):
        p = self.param
        try:
            return 1.0 if p.power == 0 else math.pow(p.shift, p.power)
        except ValueError:                     # 0^-1, or a root of a negative number
            return math.inf if p.shift == 0 else math.nan
        except OverflowError:
            return math.inf

    def _linear(self, x, a, b, out):
        """out = a x + b, without the steps that change nothing."""
        if a != 1:
            self.xp.multiply(x, a, out=out)
        if b != 0:
            self.xp.add(out if a != 1 else x, b, out=out)
        if a == 1 and b == 0 and out is not x:
            out[...] = x

    def _raise(self, a, power):
        """a = a^power, through quick functions where there is one."""
        xp = self.xp
        quick = {2: xp.square, 0.5: xp.sqrt, -1: xp.reciprocal}
        if power in quick:
            quick[power](a, out=a)
        elif power != 1:
            xp.power(a, power, out=a)

    def gradient(self, x, y, dy, dx, slope):
        p, rate = self.param, self.rate
        if rate == 0:
            dx[...] = 0
        elif p.power == 1:
            self.xp.multiply(dy, rate, out=dx)
        elif p.power == 2:
            self._linear(x, rate * p.scale, rate * p.shift, out=slope)
            self.xp.multiply(dy, slope, out=dx)
        else:
            self._linear(x, p.scale, p.shift, out=slope)
            self._raise(slope, p.power - 1)
            slope *= rate
            self.xp.multiply(dy, slope, out=dx)

    def constants(self):
        p = self.param
        return tuple(map(float, (p.power, p.scale, p.shift, self.rate,
                                 self._constant() if self.rate == 0 else 0)))


def log_of_base(layer):
    """The natural logarithm of exp_param's or log_param's base; -1, the default, stands for e."""
    base = layer.param.base
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        raise layer.error(f"base {base:g} is neither positive nor -1 (which means e)")
    return math.log(base)


_EXP = elementwise_kernels("exp", parameters="inner outer", values="y = outer * exp(inner * x);",
                           gradient="dx = dy * (inner * y);")


@register_layer("Exp")
class Exp(ElementwiseLayer):
    """An exponential, a = scale, b = shift; base -1 means e.

    bottom[0]  x  any shape              top[0]  y  the same
    forward:   y = base^(b + a x)        backward:  dx = dy y a ln(base)
    Source: exp_layer.cpp.
    """

    message = "exp_param"
    scratch = 1
    kernels = _EXP

    def setup(self, bottom, top):
        super().setup(bottom, top)
        log_base = log_of_base(self)
        self.inner = log_base * self.param.scale
        self.outer = math.exp(log_base * self.param.shift)

    def values(self, x, y, _):
        self.xp.multiply(x, self.inner, out=y)
        self.xp.exp(y, out=y)
        if self.outer != 1:
            y *= self.outer

    def gradient(self, x, y, dy, dx, slope):
        self.xp.multiply(y, self.inner, out=slope)
        self.xp.multiply(dy, slope, out=dx)

    def constants(self):
        return self.inner, self.outer


_LOG = elementwise_kernels("log", parameters="scale shift log_base",
                           values="y = log(scale * x + shift) * (1 / log_base);",
                           gradient="dx = dy * (scale / log_base / (scale * x + shift));")


@register_layer("Log")
class Log(ElementwiseLayer):
    """A logarithm, a = scale, b = shift; base -1 means e.

    bottom[0]  x  any shape              top[0]  y  the same
    forward:   y = log_base(b + a x)     backward:  dx = dy a / ((b + a x) ln(base))
    Source: log_layer.cpp.
    """

    message = "log_param"
    scratch = 1
    needs_input = True
    kernels = _LOG

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.log_base = log_of_base(self)
        if self.log_base == 0:
            raise self.error("base 1 has no logarithm")

    def values(self, x, y, _):
        p = self.param
        self.xp.multiply(x, p.scale, out=y)
        y += p.shift
        self.xp.log(y, out=y)
        if self.log_base != 1:
            y *= 1 / self.log_base

    def gradient(self, x, y, dy, dx, slope):
        p = self.param
        self.xp.multiply(x, p.scale, out=slope)
        slope += p.shift
        self.xp.divide(p.scale / self.log_base, slope, out=slope)
        self.xp.multiply(dy, slope, out=dx)

    def constants(self):
        return float(self.param.scale), float(self.param.shift), self.log_base


_CLIP = elementwise_kernels("clip", parameters="least most",
                            values="y = x < least ? least : x > most ? most : x;",
                            gradient="dx = x >= least && x <= most ? dy : 0;")


@register_layer("Clip")
class Clip(ElementwiseLayer):
    """Keep within bounds.

    bottom[0]  x  any shape                  top[0]  y  the same
    forward:   y = min(max(x, min), max)     backward:  dx = dy where min <= x <= max, 0 elsewhere
    Source: clip_layer.cpp.
    """

    message = "clip_param"
    needs_input = True
    kernels = _CLIP

    def setup(self, bottom, top):
        super().setup(bottom, top)
        if not (self.param.HasField("min") and self.param.HasField("max")):
            raise self.error("clip_param needs min and max")
        if not self.param.min <= self.param.max:
            raise self.error(f"min {self.param.min:g} is larger than max {self.param.max:g}")

    def values(self, x, y):
        self.xp.clip(x, self.param.min, self.param.max, out=y)

    def gradient(self, x, y, dy, dx):
        within, flag = scratch_arrays(self.xp, 2, x.shape, bool)
        self.xp.greater_equal(x, self.param.min, out=within)
        self.xp.less_equal(x, self.param.max, out=flag)
        within &= flag
        self.xp.multiply(dy, within, out=dx)

    def constants(self):
        return float(self.param.min), float(self.param.max)


_THRESHOLD = elementwise_kernels("threshold", "y = x > threshold;", parameters="threshold")


@register_layer("Threshold")
class Threshold(ElementwiseLayer):
    """Which entries exceed the threshold; it has no gradient.

    bottom[0]  x  any shape        top[0]  y  the same: 1 where x > threshold, else 0
    Source: threshold_layer.cpp.
    """

    message = "threshold_param"
    kernels = _THRESHOLD

    def values(self, x, y):
        self.xp.greater(x, self.param.threshold, out=y)

    def constants(self):
        return float(self.param.threshold),

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            raise self.error("this layer type has no gradient")
