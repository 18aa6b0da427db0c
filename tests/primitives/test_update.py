import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.primitives.update import _PIECE, fused_update

SIZES = [1, 1000, _PIECE, _PIECE + 1, 3 * _PIECE + 17]


def momentum(g, w, h, scratch):
    np.multiply(w, 0.25, out=scratch)
    g += scratch
    h *= 0.5
    h += g
    g[...] = h


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_rule_on_whole_arrays(size, masked, dtype):
    rng = np.random.default_rng(0)
    data, diff, history = (rng.normal(size=size).astype(dtype) for _ in range(3))
    mask = rng.random(size) < 0.5 if masked else None
    update = dtype(0.5) * history + (diff + dtype(0.25) * data)
    fused_update_data = data - (update * mask if masked else update)
    new_history = update.copy()
    fused_update(momentum, [data, diff, history], mask)
    assert_array_equal(data, fused_update_data)
    assert_array_equal(diff, update * mask if masked else update)       # diff holds the update
    assert_array_equal(history, new_history)


def test_an_empty_parameter():
    fused_update(momentum, [np.zeros(0)] * 3)


def test_any_number_of_histories():
    arrays = [np.ones(5) for _ in range(4)]
    fused_update(lambda g, w, a, b, scratch: np.add(a, b, out=g), arrays)
    assert_array_equal(arrays[0], -np.ones(5))
