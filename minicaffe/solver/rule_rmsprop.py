"""RMSProp."""

import numpy as np

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("RMSProp", """
    h = (Real)rms_decay * h + (Real)(1 - rms_decay) * (g * g);
    g = r * (g / (sqrt(h) + delta));
""")


@register_solver("RMSProp")
class RMSPropSolver(Solver):
    """h = d h + (1 - d) g^2;   update = r g / (sqrt(h) + delta), d = rms_decay.

    Source: rmsprop_solver.cpp; Tieleman and Hinton 2012.
    """

    refuses_momentum = True
    kernels = KERNELS

    def check(self):
        super().check()
        if not 0 <= self.param.rms_decay < 1:
            raise self.error(f"rms_decay must be in [0, 1), not {self.param.rms_decay:g}")

    def rule(self, g, w, h, scratch, rate):
        decay = self.param.rms_decay
        np.multiply(g, g, out=scratch)
        scratch *= 1 - decay
        h *= decay
        h += scratch
        np.sqrt(h, out=scratch)
        scratch += self.delta
        g /= scratch
        g *= rate
