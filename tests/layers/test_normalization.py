"""MVN and LayerNorm."""

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

mvn, layer_norm = functools.partial(make_layer, "MVN"), functools.partial(make_layer, "LayerNorm")
SHAPES = [(2, 3, 5), (3, 2, 4, 3), (2, 3, 2, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("variance", [False, True])
class TestMVN:
    def make(self, shape, across, variance, **options):
        return mvn(shape, across_channels=across, normalize_variance=variance, **options)

    def test_forward(self, xp, shape, across, variance):
        layer, bottom, top = self.make(shape, across, variance, xp=xp, eps=0.5)
        layer.forward(bottom, top)
        x, axes = to_numpy(bottom[0].data), tuple(range(1 if across else 2, len(shape)))
        expected = x - x.mean(axis=axes, keepdims=True)
        if variance:
            expected /= x.std(axis=axes, keepdims=True) + 0.5
        assert_allclose(to_numpy(top[0].data), expected, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, shape, across, variance, in_place):
        check_gradient(*self.make(shape, across, variance, xp=xp, in_place=in_place, eps=0))

    def test_in_place_equals_two_blobs(self, xp, shape, across, variance):
        apart, together = (self.make(shape, across, variance, xp=xp, in_place=p)
                           for p in (False, True))
        assert_array_equal(backward_once(*together)[0], backward_once(*apart)[0])


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape, axis", [((4, 6), 1), ((2, 3, 4), 1), ((2, 3, 4), -1), ((3, 4), 0)])
class TestLayerNorm:
    def test_forward(self, xp, shape, axis, affine):
        layer, bottom, top = layer_norm(shape, xp=xp, axis=axis, affine=affine, eps=0.25)
        layer.forward(bottom, top)
        x, axes = to_numpy(bottom[0].data), tuple(range(axis % len(shape), len(shape)))
        expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.25)
        if affine:
            assert layer.blobs[0].shape == layer.blobs[1].shape == shape[axis:]
            expected = expected * to_numpy(layer.blobs[0].data) + to_numpy(layer.blobs[1].data)
        assert_allclose(to_numpy(top[0].data), expected, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, shape, axis, affine, in_place):
        results = check_gradient(*layer_norm(shape, xp=xp, axis=axis, affine=affine,
                                             in_place=in_place))
        assert len(results) == (3 if affine else 1)

    def test_in_place_equals_two_blobs(self, xp, shape, axis, affine):
        apart, together = (layer_norm(shape, xp=xp, axis=axis, affine=affine, in_place=p)
                           for p in (False, True))
        for a, b in zip(backward_once(*together), backward_once(*apart)):
            assert_array_equal(a, b)


def test_only_what_is_asked_for_is_written(xp):
    layer, bottom, top = layer_norm((4, 6), xp=xp)
    layer.param_propagate_down = [False, True]
    _, dg, db = backward_once(layer, bottom, top, [False])
    assert (dg == 0).all() and (db != 0).all()
    assert np.isnan(to_numpy(bottom[0].diff)).all()


def test_default_fillers_and_eps():
    param = caffe_pb2.LayerParameter(name="layer", type="LayerNorm")
    layer = layer_class("LayerNorm")(param)
    layer.set_up([Blob((2, 3))], [Blob()])
    assert [b.data.tolist() for b in layer.blobs] == [[1] * 3, [0] * 3]
    assert layer.param.eps == np.float32(1e-5)


@pytest.mark.parametrize("type_name, fields", [("MVN", {}), ("MVN", {"across_channels": True}),
                                               ("LayerNorm", {}), ("LayerNorm", {"axis": -1})])
@pytest.mark.parametrize("shape", [(7, 3, 40, 40), (1, 2, 300, 301), (700, 3, 11)])
def test_many_blocks_in_single_precision(xp, type_name, fields, shape):
    values = np.random.default_rng(2).normal(size=shape) + 10
    values = values.astype(np.float32)
    single, double = (make_layer(type_name, shape, xp=xp, dtype=d, values={0: values}, **fields)
                      for d in (np.float32, np.float64))
    for a, b in zip(backward_once(*single), backward_once(*double)):
        assert abs(a - b).max() < 2e-4 * abs(b).max()


def test_bottoms_that_do_not_fit():
    with pytest.raises(LayerError, match=r"MVN.*at least 2 axes, not \(3,\)"):
        mvn((3,))
    layer, bottom, top = layer_norm((2, 3))
    bottom[0].reshape(2, 4)
    with pytest.raises(LayerError, match=r"LayerNorm.*\(2, 4\) does not fit a scale of shape \(3,\)"):
        layer.reshape(bottom, top)
    bottom[0].reshape(5, 3)
    bottom[0].data[...] = np.random.default_rng(0).normal(size=(5, 3))
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top)
