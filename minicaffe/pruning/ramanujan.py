"""RAMANUJAN: all but a random union of complete bipartite graphs goes."""

import numpy as np

from ..backend import to_device
from ..structured.ramanujan import degree_of_sparsity, structure
from .base import Structured, decimal_sparsity, given_one, register_method


@register_method("RAMANUJAN")
class Ramanujan(Structured):
    """Leaves of the weights what a sparse orthogonal matrix (SAO) of that `degree` would have.

    The structure (structured/ramanujan.py) is drawn by the seed. It joins N outputs and K inputs:
    of an InnerProduct; with unit KERNEL the output channels of a Convolution and the input channels
    of a group, whose whole kernels stay or go; with unit WEIGHT each weight of its filters is an
    input. sparsity s stands for a degree of (1 - s) max(N, K), `crop` for a larger structure that
    is cut. It is RG of the thesis on sparsity-aware orthogonal initialisation, Section 3.5.4.
    """

    fields = frozenset({"sparsity", "degree", "crop", "unit", "random_seed", "alpha", "leave_out"})

    def check(self):
        w, by_kernel = self.weights, self.param.unit == self.param.KERNEL
        shape = w.shape[:2] if by_kernel else (w.shape[0], w.size // w.shape[0])
        self.matrix = shape[::-1] if self.transposed else shape            # outputs, inputs
        given = given_one(self.param, "degree", "sparsity")
        self.degree = self.param.degree if given == "degree" else \
            degree_of_sparsity(*self.matrix, decimal_sparsity(self.param), self.param.crop)
        self._structure(self.generator(max(0, self.param.random_seed)))      # raises if none fits

    def _structure(self, rng):
        """(outputs, inputs) booleans of the units, transposed where the weights are."""
        mask = structure(*self.matrix, self.degree, rng, self.param.crop).mask()
        return mask.T if self.transposed else mask

    def draw(self, rng):
        free = ~self._structure(rng)
        self.going = int(free.sum())
        entries = np.broadcast_to(free.reshape(self.units, 1), (self.units,
                                                                self.weights.size // self.units))
        self.free = to_device(np.ascontiguousarray(entries).reshape(self.weights.shape))
