"""How rows are shared out to threads in the kernels of softmax: any lengths, lanes and blocks."""

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.primitives import softmax

DEVICES = pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)


@DEVICES
@pytest.mark.parametrize("shape, axis", [
    ((70, 10), 1), ((3, 300), 1), ((2, 256), 1), ((5, 1), 1), ((2, 300, 3), 1), ((3, 7, 500), 1),
    ((1, 3, 70000), 1), ((400, 3), 0), ((2, 3, 4, 5), 2), ((0, 3), 1), ((3, 4, 0), 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_its_gradient(xp, shape, axis, dtype):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=shape, scale=3).astype(dtype) for _ in range(2))
    y, dx, given = xp.empty(shape, dtype), xp.asarray(dy), xp.asarray(x)
    softmax.softmax_gpu(given, axis, out=y)
    expected = scipy.special.softmax(x.astype(float), axis)
    rtol = 1e-12 if dtype == np.float64 else 2e-6
    assert_allclose(to_numpy(y), expected, rtol=rtol)
    softmax.softmax_backward_gpu(y, dx, axis, dx)                     # in place, as the layer may
    assert_allclose(to_numpy(dx), (dy - (dy * expected).sum(axis, keepdims=True)) * expected,
                    rtol=rtol, atol=2 * rtol)


@DEVICES
@pytest.mark.parametrize("lanes", [1, 4, 256])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("I", [1, 5])
def test_any_number_of_lanes_and_blocks(xp, lanes, blocks, I):
    """Each block takes several groups of rows."""
    x = np.random.default_rng(0).normal(size=(130, 9, I))
    y = xp.empty(x.shape)
    softmax._KERNELS.by_blocks("forward", y.dtype, blocks, 130 * I, 9, I, lanes, xp.asarray(x), y)
    assert_allclose(to_numpy(y), scipy.special.softmax(x, 1), rtol=1e-13)


@pytest.mark.parametrize("shape, axis", [((64, 10), 1), ((256, 1000), 1), ((2, 21, 500, 500), 1),
                                         ((1, 5000, 3), 1), ((4, 3), 0), ((0, 3), 1)])
def test_all_rows_have_a_thread_and_blocks_are_full(shape, axis):
    blocks, rows, C, I, lanes = softmax.row_launch(shape, axis)
    assert (rows * C, C) == (np.prod(shape), shape[axis])
    assert 1 <= lanes <= 256 and 256 % lanes == 0
    assert lanes < 2 * max(C, 1)
    assert min(blocks, 1024) * 256 >= min(rows * lanes, 1024 * 256)
    assert (blocks == 0) == (rows == 0)
