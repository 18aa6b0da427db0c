"""A few smallest out of many values, on every back end."""

import numpy as np
import pytest

from minicaffe.backend import to_numpy
from minicaffe.primitives.smallest import _PLACES, _candidates, smallest

SIZES = 1, 10, 30_000, 200_000


def values_of(kind, size):
    rng = np.random.default_rng(size)
    values = rng.standard_normal(size).astype(np.float32)
    if kind == "sorted":
        values.sort()
    elif kind == "many equal":
        values = np.round(2 * values)
    elif kind == "small ones where no sample is taken":
        values = abs(values)
        unseen = np.setdiff1d(np.arange(size), _PLACES % size)
        values[unseen[:size // 8]] -= 10
    elif kind == "small ones where the sample is taken alone":      # its quantiles are too low
        values = abs(values)
        values[_PLACES % size] -= 10
    return values


@pytest.mark.parametrize("kind", ["any", "sorted", "many equal",
                                  "small ones where no sample is taken",
                                  "small ones where the sample is taken alone"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", [0, 0.003, 0.1, 0.6, 1])
def test_they_are_what_sorting_finds(xp, kind, size, part):
    values, among = values_of(kind, size), np.random.default_rng(1).random(size) < 0.7
    among[0] = True
    count = max(1, round(part * among.sum()))
    found = to_numpy(smallest(xp, xp.asarray(values), xp.asarray(among), count))
    assert len(np.unique(found)) == count and among[found].all()
    np.testing.assert_array_equal(np.sort(values[found]), np.sort(values[among])[:count])


def test_few_are_looked_at():
    """Those off the diagonal of a large matrix: the sample has to see them."""
    values = np.random.default_rng(2).random(4096 ** 2, np.float32)
    among = ~np.eye(4096, dtype=bool).reshape(-1)
    few = _candidates(values, among, 40_000)
    assert 40_000 <= len(few) < 100_000 and among[few].all()


def test_nan_counts_as_largest():
    values = np.full(50_000, np.nan, np.float32)
    values[::7] = np.arange(len(values[::7]))
    found = smallest(np, values, np.ones(len(values), bool), 300)
    np.testing.assert_array_equal(np.sort(found), 7 * np.arange(300))
