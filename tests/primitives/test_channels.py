import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.primitives.channels import add_bias, add_sums

# matrices: one segment and several, the last group of 32 columns not full; images likewise
SHAPES = [(5, 3), (1, 70), (300, 40), (513, 33), (4, 3, 5), (3, 2, 7, 6), (2, 5, 60, 50),
          (700, 2, 3, 4), (1, 3, 1, 1), (2, 1, 257)]


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_and_its_gradient(xp, shape, dtype, rtol):
    rng = np.random.default_rng(0)
    y, c = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
    y_here, c_here = xp.asarray(y.copy()), xp.asarray(c.copy())
    add_bias(xp, y_here, c_here)
    assert_allclose(to_numpy(y_here), y + c.reshape(-1, *(1,) * (len(shape) - 2)), rtol=rtol)
    add_sums(xp, xp.asarray(y), c_here)
    sums = y.astype(float).sum(axis=(0, *range(2, y.ndim)))
    assert_allclose(to_numpy(c_here), c + sums, rtol=rtol, atol=rtol * abs(y).sum() / shape[1])
