"""AdaGrad."""

import numpy as np

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("AdaGrad", """
    h += g * g;
    g = r * (g / (sqrt(h) + delta));
""")


@register_solver("AdaGrad")
class AdaGradSolver(Solver):
    """h = h + g^2;   update = r g / (sqrt(h) + delta)     (adagrad_solver.cpp; Duchi et al. 2011)."""

    refuses_momentum = True
    kernels = KERNELS

    def rule(self, g, w, h, scratch, rate):
        np.multiply(g, g, out=scratch)
        h += scratch
        np.sqrt(h, out=scratch)
        scratch += self.delta
        g /= scratch
        g *= rate
