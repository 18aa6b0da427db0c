"""AdaDelta."""

import numpy as np

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("AdaDelta", """
    h = m * h + (Real)(1 - momentum) * (g * g);
    const Real v = g * sqrt((u + delta) / (h + delta));
    u = m * u + (Real)(1 - momentum) * (v * v);
    g = r * v;
""")


@register_solver("AdaDelta")
class AdaDeltaSolver(Solver):
    """h = m h + (1 - m) g^2;   v = g sqrt((u + delta) / (h + delta));   u = m u + (1 - m) v^2;
    update = r v, with m = momentum; the rate does not enter u.

    Source: adadelta_solver.cpp; Zeiler 2012.
    """

    histories = 2
    kernels = KERNELS

    def rule(self, g, w, h, u, scratch, rate):
        m, delta = self.momentum, self.delta
        np.multiply(g, g, out=scratch)
        scratch *= 1 - m
        h *= m
        h += scratch
        ratio = (u + delta) / (h + delta)
        g *= np.sqrt(ratio, out=ratio)              # v
        np.multiply(g, g, out=scratch)
        scratch *= 1 - m
        u *= m
        u += scratch
        g *= rate
