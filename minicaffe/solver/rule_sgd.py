"""Stochastic gradient descent with momentum."""

from ..primitives.update import update_kernels
from .base import Solver, register_solver

KERNELS = update_kernels("SGD", """
    h = m * h + r * g;
    g = h;
""")


@register_solver("SGD")
class SGDSolver(Solver):
    """h = m h + r g;   update = h     (m = momentum, r = rate, g = gradient with weight decay).

    The history contains the rate, as in Caffe (sgd_solver.cpp), so that a change of the rate acts
    on new gradients only.
    """

    kernels = KERNELS

    def rule(self, g, w, h, scratch, rate):
        h *= self.momentum
        g *= rate
        h += g
        g[...] = h
