import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import Error

AXES = [((4, 6), 1), ((3, 4, 2, 5), 1), ((3, 4, 2), 0), ((3, 4, 2), -1), ((5,), 0)]


@pytest.mark.parametrize("shape, axis", AXES)
class TestSoftmax:
    def test_forward(self, xp, shape, axis):
        layer, bottom, top = make_layer("Softmax", shape, xp=xp, axis=axis)
        layer.forward(bottom, top)
        e = np.exp(to_numpy(bottom[0].data))
        assert_allclose(to_numpy(top[0].data), e / e.sum(axis=axis, keepdims=True), rtol=1e-13)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, shape, axis, in_place):
        check_gradient(*make_layer("Softmax", shape, xp=xp, axis=axis, in_place=in_place))

    def test_in_place_equals_two_blobs(self, xp, shape, axis):
        expected = backward_once(*make_layer("Softmax", shape, xp=xp, axis=axis))
        actual = backward_once(*make_layer("Softmax", shape, xp=xp, axis=axis, in_place=True))
        assert_array_equal(actual[0], expected[0])


def test_softmax_default_axis_is_1_and_bottom_diff_is_overwritten(xp):
    layer, bottom, top = make_layer("Softmax", (2, 3, 4), xp=xp)
    first, second = backward_once(layer, bottom, top), backward_once(layer, bottom, top)
    assert_array_equal(first[0], second[0])
    assert_allclose(to_numpy(top[0].data).sum(axis=1), 1, rtol=1e-14)


def test_softmax_of_huge_scores_is_finite(xp):
    layer, bottom, top = make_layer("Softmax", (2, 3), xp=xp,
                                    values={0: [[1e4, 1e4, -1e4], [-1e300, 0, -5]]})
    layer.forward(bottom, top)
    assert_allclose(to_numpy(top[0].data), [[0.5, 0.5, 0], [0, 1 / (1 + np.exp(-5)),
                                                            1 / (1 + np.exp(5))]], rtol=1e-12)


def test_softmax_bottom_may_change_its_shape(xp):
    layer, bottom, top = make_layer("Softmax", (2, 3), xp=xp)
    layer.forward(bottom, top)
    bottom[0].reshape(5, 7)
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top)
    assert top[0].shape == (5, 7)


def test_softmax_axis_must_exist():
    with pytest.raises(Error, match=r"axis 2 does not exist in a blob of shape \(2, 3\)"):
        make_layer("Softmax", (2, 3), axis=2)
