import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SHAPE = (2, 6, 4, 5)
REGIONS = ["ACROSS_CHANNELS", "WITHIN_CHANNEL"]
FIELDS = [{}, {"local_size": 3, "alpha": 0.5, "beta": 0.6, "k": 2}, {"local_size": 1, "beta": 1},
          {"local_size": 11, "alpha": 2}]


def naive(x, region, local_size=5, alpha=1.0, beta=0.75, k=1.0):
    """One entry after the other, each with its own window."""
    reach, y = local_size // 2, np.empty_like(x)
    alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
    for n, c, i, j in np.ndindex(x.shape):
        if region == "ACROSS_CHANNELS":
            window = x[n, max(c - reach, 0):c + reach + 1, i, j]
            scale = k + alpha / local_size * (window ** 2).sum()
        else:
            window = x[n, c, max(i - reach, 0):i + reach + 1, max(j - reach, 0):j + reach + 1]
            scale = 1 + alpha / local_size ** 2 * (window ** 2).sum()
        y[n, c, i, j] = x[n, c, i, j] / scale ** beta
    return y


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("fields", FIELDS, ids=str)
class TestLRN:
    def test_forward_equals_windows_one_by_one(self, xp, region, fields):
        layer, bottom, top = make_layer("LRN", SHAPE, xp=xp, norm_region=region, **fields)
        layer.forward(bottom, top)
        assert_allclose(to_numpy(top[0].data), naive(to_numpy(bottom[0].data), region, **fields),
                        rtol=1e-12)

    def test_gradient(self, xp, region, fields):
        check_gradient(*make_layer("LRN", SHAPE, xp=xp, norm_region=region, **fields))


@pytest.mark.parametrize("region", REGIONS)
def test_bottom_diff_is_overwritten_and_only_where_asked(xp, region):
    layer, bottom, top = make_layer("LRN", SHAPE, xp=xp, norm_region=region)
    first, second = backward_once(layer, bottom, top), backward_once(layer, bottom, top)
    assert_array_equal(first[0], second[0])
    bottom[0].diff[...] = 5
    layer.backward(top, [False], bottom)
    assert (to_numpy(bottom[0].diff) == 5).all()


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("shape", [(1, 2, 3, 3), (3, 7, 5, 6)])
def test_bottom_may_change_its_shape(xp, region, shape):
    layer, bottom, top = make_layer("LRN", SHAPE, xp=xp, norm_region=region)
    layer.forward(bottom, top)
    bottom[0].reshape(shape)
    bottom[0].data[...] = np.random.default_rng(5).normal(size=shape)
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top, samples=40)
    assert top[0].shape == shape


def test_local_size_must_be_odd():
    with pytest.raises(LayerError, match=r"'layer' \(LRN\): local_size 4 is not odd"):
        make_layer("LRN", SHAPE, local_size=4)


def test_lrn_needs_four_axes():
    with pytest.raises(LayerError, match=r"LRN.*4 axes \(N, C, H, W\), not \(2, 3\)"):
        make_layer("LRN", (2, 3))


def test_lrn_can_not_be_in_place():
    with pytest.raises(LayerError, match="LRN.*in place"):
        make_layer("LRN", SHAPE, in_place=True)
