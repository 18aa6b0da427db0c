"""The mean of the losses of the last iterations, which the GPU's host side sees only when asked."""

import numpy as np

from ..backend import Kernels, to_numpy

KERNELS = Kernels("losses", """
extern "C" __global__ void add_part(const double* loss, double* window, Index slot, double share,
                                    Index first) {
    GRID_LOOP(i, 1) window[slot] = (first ? 0 : window[slot]) + share * loss[0];
}
""")


class Losses:
    """The mean loss of the last `window` iterations, each the mean of `parts` passes.

    On the GPU losses arrive as arrays of one double and stay there until `mean` is called.
    """

    def __init__(self, xp, window, parts):
        self.xp = xp
        # the loss of one pass is in the net's own array; several need room
        self.keeps = xp is not np and (window > 1 or parts > 1)
        self.values = xp.zeros(window) if self.keeps else [0.0] * window
        self.count = 0                   # iterations begun

    def add(self, loss, part, parts):
        """Take the loss of pass number `part` of an iteration's, a float or the net's array."""
        slot = (self.count - (part > 0)) % len(self.values)
        if self.keeps:
            KERNELS("add_part", np.float64, 1, loss, self.values, slot, 1 / parts,
                    int(part == 0))
        elif self.xp is np:
            total = (self.values[slot] if part else 0.0) + loss
            self.values[slot] = total / parts if part == parts - 1 else total
        else:
            self.values[slot] = loss
        self.count += part == 0

    def mean(self):
        """The mean, 0 before the first iteration; waits for the device."""
        filled = min(self.count, len(self.values))
        if not filled:
            return 0.0
        if self.xp is np:
            return sum(self.values[:filled]) / filled
        values = to_numpy(self.values if self.keeps else self.values[0]).reshape(-1)
        return float(sum(values[:filled])) / filled
