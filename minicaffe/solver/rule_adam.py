"""Adam."""

import math

import numpy as np

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("Adam", """
    h = m * h + (Real)(1 - momentum) * g;
    u = (Real)momentum2 * u + (Real)(1 - momentum2) * (g * g);
    g = rc * (h / (sqrt(u) + delta));
""")


@register_solver("Adam")
class AdamSolver(Solver):
    """a = b1 a + (1 - b1) g;   v = b2 v + (1 - b2) g^2;   t = iteration + 1;
    update = r sqrt(1 - b2^t) / (1 - b1^t) a / (sqrt(v) + delta), b1 = momentum, b2 = momentum2.

    Delta is added to the uncorrected sqrt(v). Source: adam_solver.cpp; Kingma and Ba 2015.
    decoupled_weight_decay: true makes it AdamW (Loshchilov and Hutter, arXiv:1711.05101): g is
    without decay, and rate * decay * w joins the update (host.py).
    """

    histories = 2
    may_decouple_decay = True
    kernels = KERNELS

    def check(self):
        super().check()
        if not 0 <= self.param.momentum < 1 or not 0 <= self.param.momentum2 < 1:
            raise self.error(f"momentum {self.param.momentum:g} and momentum2 "
                             f"{self.param.momentum2:g} must be in [0, 1)")

    def correction(self):
        """sqrt(1 - b2^t) / (1 - b1^t)."""
        b1, b2, t = self.param.momentum, self.param.momentum2, self.iter + 1
        return math.sqrt(1 - b2 ** t) / (1 - b1 ** t)

    def rule(self, g, w, a, v, scratch, rate):
        b1, b2 = self.momentum, self.param.momentum2
        np.multiply(g, 1 - b1, out=scratch)
        a *= b1
        a += scratch
        g *= g
        g *= 1 - b2
        v *= b2
        v += g
        np.sqrt(v, out=scratch)
        scratch += self.delta
        np.divide(a, scratch, out=g)
        g *= rate * self.correction()
