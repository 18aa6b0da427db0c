"""Stochastic gradient descent with momentum."""

from .base import Solver, register_solver


@register_solver("SGD")
class SGDSolver(Solver):
    """h = m h + r g;   update = h     (m = momentum, r = rate, g = gradient with weight decay).

    The history contains the rate, as in Caffe (sgd_solver.cpp), so that a change of the rate acts
    on new gradients only.
    """

    def rule(self, g, w, h, scratch, rate):
        h *= self.momentum
        g *= rate
        h += g
        g[...] = h
