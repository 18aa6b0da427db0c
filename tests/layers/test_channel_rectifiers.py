"""PReLU and MaxMin: activations that know channels."""

import functools

import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.blob import Blob
from minicaffe.errors import LayerError
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

prelu = functools.partial(make_layer, "PReLU")
max_min = functools.partial(make_layer, "MaxMin")
SHAPES = [(3, 4), (2, 4, 5), (2, 4, 3, 2)]


def same_in_place(apart, together):
    """Equal tops and gradients, in place or not."""
    for a, b in zip(backward_once(*together), backward_once(*apart)):
        assert_array_equal(a, b)
    for layer, bottom, top in apart, together:
        layer.forward(bottom, top)
    assert_array_equal(to_numpy(together[2][0].data), to_numpy(apart[2][0].data))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
class TestPReLU:
    def test_forward(self, xp, shape, shared):
        layer, bottom, top = prelu(shape, xp=xp, channel_shared=shared)
        layer.forward(bottom, top)
        x, a = to_numpy(bottom[0].data), to_numpy(layer.blobs[0].data)
        assert a.shape == (() if shared else (4,))
        for index in np.ndindex(shape):
            slope = a if shared else a[index[1]]
            assert top[0].data[index] == pytest.approx(max(x[index], 0) + slope * min(x[index], 0))

    @pytest.mark.parametrize("in_place", [False, True])
    def test_slopes_between_0_and_1(self, xp, shape, shared, in_place):
        layer, bottom, top = prelu(shape, xp=xp, channel_shared=shared, in_place=in_place)
        layer.blobs[0].data[...] = 0.25 if shared else [0, 0.25, 0.5, 1]
        a, x = to_numpy(layer.blobs[0].data), to_numpy(bottom[0].data).copy()
        a = a.reshape((1, -1) + (1,) * (len(shape) - 2))
        assert len(check_gradient(layer, bottom, top)) == 2
        layer.forward(bottom, top)
        assert_allclose(to_numpy(top[0].data), np.where(x > 0, x, a * x), rtol=1e-14)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, shape, shared, in_place):
        assert len(check_gradient(*prelu(shape, xp=xp, channel_shared=shared, in_place=in_place))) == 2

    def test_in_place_equals_two_blobs(self, xp, shape, shared):
        same_in_place(*(prelu(shape, xp=xp, channel_shared=shared, in_place=p) for p in (False, True)))

    def test_only_what_is_asked_for_is_written(self, xp, shape, shared):
        layer, bottom, top = prelu(shape, xp=xp, channel_shared=shared)
        layer.param_propagate_down = [False]
        assert (backward_once(layer, bottom, top)[1] == 0).all()
        layer.param_propagate_down = [True]
        assert (backward_once(layer, bottom, top, [False])[1] != 0).any()
        assert np.isnan(to_numpy(bottom[0].diff)).all()


def test_prelu_starts_at_a_quarter_or_as_the_filler_says(xp):
    for text, value in (({}, 0.25), ({"filler": {"value": 0.5}}, 0.5), ({"filler": {}}, 0)):
        param = caffe_pb2.LayerParameter(name="p", type="PReLU", prelu_param=text)
        layer = layer_class("PReLU")(param)
        layer.set_up([Blob((2, 3))], [Blob()])
        assert layer.blobs[0].data.tolist() == [value] * 3


@pytest.mark.parametrize("shape", [(100, 3, 40, 40), (1, 2, 300, 301), (3, 70000), (2000, 7, 11)])
def test_prelu_in_many_blocks(xp, shape):
    for shared in False, True:
        layer, bottom, top = prelu(shape, xp=xp, channel_shared=shared)
        _, da = backward_once(layer, bottom, top)
        dy, x = to_numpy(top[0].diff), to_numpy(bottom[0].data)
        axes = None if shared else tuple(i for i in range(len(shape)) if i != 1)
        assert_allclose(da, (dy * np.minimum(x, 0)).sum(axis=axes), rtol=1e-9, atol=1e-9)


def test_prelu_bottoms_that_do_not_fit():
    with pytest.raises(LayerError, match=r"PReLU.*at least 2 axes \(N, C, ...\), not \(3,\)"):
        prelu((3,))
    layer, bottom, top = prelu((2, 3))
    bottom[0].reshape(2, 4)
    with pytest.raises(LayerError, match=r"PReLU.*\(2, 4\) does not fit slopes of shape \(3,\)"):
        layer.reshape(bottom, top)


@pytest.mark.parametrize("shape, axis", [((3, 4), 1), ((2, 6, 3, 2), 1), ((2, 3, 4), -1), ((4, 3), 0)])
class TestMaxMin:
    def test_forward(self, xp, shape, axis):
        layer, bottom, top = max_min(shape, xp=xp, axis=axis)
        layer.forward(bottom, top)
        first, second = np.split(to_numpy(bottom[0].data), 2, axis)
        expected = np.concatenate([np.maximum(first, second), np.minimum(first, second)], axis)
        assert_array_equal(to_numpy(top[0].data), expected)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, shape, axis, in_place):
        check_gradient(*max_min(shape, xp=xp, axis=axis, in_place=in_place))

    def test_in_place_equals_two_blobs(self, xp, shape, axis):
        same_in_place(*(max_min(shape, xp=xp, axis=axis, in_place=p) for p in (False, True)))

    def test_norms_are_kept_in_both_passes(self, xp, shape, axis):
        layer, bottom, top = max_min(shape, xp=xp, axis=axis)
        dx, = backward_once(layer, bottom, top)
        assert_array_equal(np.sort(abs(dx).ravel()), np.sort(abs(to_numpy(top[0].diff)).ravel()))
        assert_array_equal(np.sort(to_numpy(top[0].data).ravel()),
                           np.sort(to_numpy(bottom[0].data).ravel()))


def test_max_min_by_hand(xp):
    layer, bottom, top = max_min((1, 6), xp=xp, values={0: [[1, 5, 2, 4, 3, 2]]})
    layer.forward(bottom, top)
    assert to_numpy(top[0].data).tolist() == [[4, 5, 2, 1, 3, 2]]
    top[0].diff[...] = [[10, 20, 30, 40, 50, 60]]
    layer.backward(top, [True], bottom)
    assert to_numpy(bottom[0].diff).tolist() == [[40, 20, 30, 10, 50, 60]]    # a tie stays in place


def test_max_min_needs_an_even_number_of_slices():
    with pytest.raises(LayerError, match="MaxMin.*size 5 of axis 1 is odd"):
        max_min((4, 5))
