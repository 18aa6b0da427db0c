"""The smallest values of some entries of a flat array."""

import math

import numpy as np

# Places of a sample whose order tells where to look: an odd multiple of each number spreads them
# over any length, where equal steps could run along a matrix's diagonal.
_PLACES = np.arange(4096) * 2654435761


def smallest(xp, values, among, count):
    """Indices of the `count` smallest values where the boolean array `among` is True, in any order.

    1 <= count <= number of True; of equal values any; nan counts as largest. On the CPU a few out
    of many are looked for only among those that are no larger than a sample's suitable quantile.
    """
    few = _candidates(values, among, count) if xp is np else None
    if few is None:
        few = xp.flatnonzero(among)
    return few[xp.argpartition(values[few], count - 1)[:count]]


def _candidates(values, among, count):
    """Indices of all values up to a bound, at least `count`; None where that would spare little."""
    places = _PLACES % len(values)
    sample = np.sort(values[places[among[places]]])
    rank = count * len(sample) / max(1, np.count_nonzero(among))
    rank = math.ceil(rank + 4 * math.sqrt(rank) + 4)         # as good as never too low
    if 2 * rank >= len(sample):
        return None
    few = np.flatnonzero((values <= sample[rank]) & among)
    return few if len(few) >= count else None
