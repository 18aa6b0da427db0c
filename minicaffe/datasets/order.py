"""Which records make up the k-th batch."""

import numpy as np


class Order:
    """The order of records; every batch can be computed from (seed, k) alone.

    In file order the records run on and wrap around at the end, so that a batch may straddle two
    epochs, as in Caffe. With `shuffle` each epoch is a permutation drawn from [seed, epoch].
    `skip` records are left out at the very beginning. `groups` are the sizes of the files that
    make up `count`: a permutation then orders the files, and the records within each file.
    """

    def __init__(self, count, batch_size, shuffle=False, seed=0, skip=0, groups=None):
        self.count = count
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.skip = skip
        self.groups = groups if groups is not None else [count]
        self._cached = (None, None)             # epoch, its permutation

    def indices(self, k):
        """The int64 indices (batch_size,) of batch k = 0, 1, ..."""
        first = self.skip + k * self.batch_size
        epoch, place = np.divmod(np.arange(first, first + self.batch_size), self.count)
        if self.shuffle:
            for e in range(epoch[0], epoch[-1] + 1):
                now = epoch == e
                place[now] = self.permutation(e)[place[now]]
        return place

    def permutation(self, epoch):
        """The record numbers in the order of an epoch, (count,)."""
        if self._cached[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            starts = np.cumsum([0] + list(self.groups))
            order = rng.permutation(len(self.groups))
            parts = [starts[g] + rng.permutation(self.groups[g]) for g in order]
            self._cached = (epoch, np.concatenate(parts))
        return self._cached[1]
