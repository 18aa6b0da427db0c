"""Reduction of more numbers than one block of threads takes at a time."""

import numpy as np
import pytest
from helpers import backward_once, make_layer
from numpy.testing import assert_allclose

SUMS = {"SUM": lambda x: x.sum(axis=1), "ASUM": lambda x: abs(x).sum(axis=1),
        "SUMSQ": lambda x: (x ** 2).sum(axis=1), "MEAN": lambda x: x.mean(axis=1)}


@pytest.mark.parametrize("operation", SUMS)
@pytest.mark.parametrize("size", [255, 257, 16384, 40001])
def test_long_rows(xp, operation, size):
    layer, bottom, top = make_layer("Reduction", (3, size), xp=xp, operation=operation, axis=1,
                                    coeff=0.5)
    dx, = backward_once(layer, bottom, top)
    x, dy = bottom[0].data, top[0].diff
    assert_allclose(top[0].data, 0.5 * SUMS[operation](x), rtol=1e-11, atol=1e-11)
    slope = {"SUM": 1, "ASUM": np.sign(x), "SUMSQ": 2 * x, "MEAN": 1 / size}[operation]
    assert_allclose(dx, 0.5 * dy[:, None] * slope * np.ones_like(x), rtol=1e-13)
