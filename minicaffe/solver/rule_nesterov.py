"""Nesterov's accelerated gradient."""

import numpy as np

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("Nesterov", """
    const Real before = m * h;
    h = before + r * g;
    g = (Real)(1 + momentum) * h - before;
""")


@register_solver("Nesterov")
class NesterovSolver(Solver):
    """h' = m h + r g;   update = (1 + m) h' - m h     (nesterov_solver.cpp)."""

    kernels = KERNELS

    def rule(self, g, w, h, scratch, rate):
        m = self.momentum
        np.multiply(h, m, out=scratch)              # m h
        np.multiply(g, rate, out=h)
        h += scratch                                # h' = m h + r g
        np.multiply(h, 1 + m, out=g)
        g -= scratch
