"""AdaGrad."""

import numpy as np

from .base import Solver, register_solver


@register_solver("AdaGrad")
class AdaGradSolver(Solver):
    """h = h + g^2;   update = r g / (sqrt(h) + delta)     (adagrad_solver.cpp; Duchi et al. 2011)."""

    refuses_momentum = True

    def rule(self, g, w, h, scratch, rate):
        np.multiply(g, g, out=scratch)
        h += scratch
        np.sqrt(h, out=scratch)
        scratch += self.delta
        g /= scratch
        g *= rate
