"""Scale, Bias, Affine and Parameter."""

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

SHAPE = (2, 3, 4, 5)
AXES = [({}, (3,), 1), ({"axis": 2}, (4,), 2), ({"axis": -1}, (5,), 3), ({"axis": 0}, (2,), 0),
        ({"num_axes": 2}, (3, 4), 1), ({"num_axes": -1}, (3, 4, 5), 1),
        ({"axis": 0, "num_axes": -1}, SHAPE, 0), ({"num_axes": 0}, (), 0)]


def spread(values, axis):
    """values as an array that NumPy broadcasts against SHAPE."""
    return values.reshape((1,) * axis + values.shape + (1,) * (4 - axis - values.ndim))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("fields, shape, axis", AXES)
class TestScale:
    def make(self, fields, bias, **options):
        return make_layer("Scale", SHAPE, bias_term=bias, **fields, **options)

    def test_forward(self, xp, fields, shape, axis, bias):
        layer, bottom, top = self.make(fields, bias, xp=xp)
        assert [b.shape for b in layer.blobs] == [shape] * (1 + bias)
        layer.forward(bottom, top)
        expected = to_numpy(bottom[0].data) * spread(to_numpy(layer.blobs[0].data), axis)
        if bias:
            expected = expected + spread(to_numpy(layer.blobs[1].data), axis)
        assert_allclose(to_numpy(top[0].data), expected, rtol=1e-14, atol=1e-14)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, fields, shape, axis, bias, in_place):
        results = check_gradient(*self.make(fields, bias, xp=xp, in_place=in_place))
        assert len(results) == 2 + bias

    def test_two_bottoms(self, xp, fields, shape, axis, bias):
        given = {"axis": fields["axis"]} if "axis" in fields else {}
        layer, bottom, top = make_layer("Scale", [SHAPE, shape], xp=xp, bias_term=bias, **given)
        assert [b.shape for b in layer.blobs] == [shape] * bias
        assert len(check_gradient(layer, bottom, top)) == 2 + bias
        layer.forward(bottom, top)
        shift = spread(to_numpy(layer.blobs[0].data), axis) if bias else 0
        assert_allclose(to_numpy(top[0].data), to_numpy(bottom[0].data)
                        * spread(to_numpy(bottom[1].data), axis) + shift, rtol=1e-14, atol=1e-14)

    def test_bias_layer(self, xp, fields, shape, axis, bias):
        shapes = [SHAPE, shape] if bias else SHAPE
        given = {"axis": fields["axis"]} if bias and "axis" in fields else {} if bias else fields
        for in_place in False, True:
            layer, bottom, top = make_layer("Bias", shapes, xp=xp, in_place=in_place, **given)
            assert len(check_gradient(layer, bottom, top)) == 2
            before, summand = to_numpy(bottom[0].data).copy(), bottom[1] if bias else layer.blobs[0]
            layer.forward(bottom, top)
            assert_array_equal(to_numpy(top[0].data),
                               before + spread(to_numpy(summand.data), axis))


@pytest.mark.parametrize("type_name", ["Scale", "Bias", "Affine"])
def test_in_place_equals_two_blobs(xp, type_name):
    fields = {"bias_term": True} if type_name == "Scale" else {}
    apart, together = (make_layer(type_name, SHAPE, xp=xp, in_place=p, **fields) for p in (False, True))
    for a, b in zip(backward_once(*together), backward_once(*apart)):
        assert_array_equal(a, b)


@pytest.mark.parametrize("type_name", ["Scale", "Bias", "Affine"])
def test_only_what_is_asked_for_is_written(xp, type_name):
    layer, bottom, top = make_layer(type_name, SHAPE, xp=xp)
    layer.param_propagate_down = [False] * len(layer.blobs)
    assert all((d == 0).all() for d in backward_once(layer, bottom, top)[1:])
    layer.param_propagate_down = [True] * len(layer.blobs)
    assert all((d != 0).all() for d in backward_once(layer, bottom, top, [False])[1:])
    assert np.isnan(to_numpy(bottom[0].diff)).all()


@pytest.mark.parametrize("propagate_down", [[True, False], [False, True]])
def test_either_bottom_alone(xp, propagate_down):
    layer, bottom, top = make_layer("Scale", [SHAPE, (3, 4)], xp=xp)
    both, one = backward_once(layer, bottom, top), backward_once(layer, bottom, top, propagate_down)
    for i in 0, 1:
        if propagate_down[i]:
            assert_array_equal(one[i], both[i])
        else:
            assert np.isnan(to_numpy(bottom[i].diff)).all()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_affine(xp, axis):
    layer, bottom, top = make_layer("Affine", SHAPE, xp=xp, axis=axis)
    scale = make_layer("Scale", SHAPE, xp=xp, axis=axis, bias_term=True)
    for a, b in zip(backward_once(layer, bottom, top), backward_once(*scale)):
        assert_array_equal(a, b)
    check_gradient(layer, bottom, top)


@pytest.mark.parametrize("shape", [(100, 3, 40, 40), (1, 2, 300, 301), (3, 70000), (2000, 7, 11)])
def test_many_blocks(xp, shape):
    layer, bottom, top = make_layer("Scale", shape, xp=xp, dtype=np.float32, bias_term=True)
    dx, dg, db = backward_once(layer, bottom, top)
    dy, x = np.float64(to_numpy(top[0].diff)), np.float64(to_numpy(bottom[0].data))
    axes = tuple(i for i in range(len(shape)) if i != 1)
    magnitude = np.sqrt(x.size / shape[1])
    assert_allclose(dg, (dy * x).sum(axis=axes), rtol=1e-5, atol=1e-6 * magnitude)
    assert_allclose(db, dy.sum(axis=axes), rtol=1e-5, atol=1e-6 * magnitude)
    g = to_numpy(layer.blobs[0].data).reshape(-1, *[1] * (len(shape) - 2))
    assert_allclose(dx, dy * g, rtol=1e-6)


@pytest.mark.parametrize("type_name, values", [("Scale", [1, 0]), ("Affine", [1, 0]), ("Bias", [0])])
def test_default_fillers(type_name, values):
    param = caffe_pb2.LayerParameter(name="layer", type=type_name)
    param.scale_param.bias_term = True
    layer = layer_class(type_name)(param)
    layer.set_up([Blob(SHAPE)], [Blob()])
    assert [b.data.tolist() for b in layer.blobs] == [[v] * 3 for v in values]


def test_empty_filler_is_caffes_constant_0():
    param = caffe_pb2.LayerParameter(name="layer", type="Scale", scale_param={"filler": {}})
    layer = layer_class("Scale")(param)
    layer.set_up([Blob(SHAPE)], [Blob()])
    assert layer.blobs[0].data.tolist() == [0] * 3


@pytest.mark.parametrize("type_name, shapes, fields, message", [
    ("Scale", SHAPE, {"num_axes": 4}, r"num_axes 4 from axis 1 on does not fit .*\(2, 3, 4, 5\)"),
    ("Bias", SHAPE, {"num_axes": -2}, "num_axes -2 from axis 1"),
    ("Scale", [SHAPE, (4,)], {}, r"bottom 1 of shape \(4,\) does not fit .* from axis 1 on"),
    ("Bias", [SHAPE, (5, 1)], {"axis": -1}, r"bottom 1 of shape \(5, 1\) does not fit")])
def test_shapes_that_do_not_fit(type_name, shapes, fields, message):
    with pytest.raises(LayerError, match=rf"\({type_name}\): {message}"):
        make_layer(type_name, shapes, **fields)


def test_bottom_may_change_its_shape_but_not_its_channels(xp):
    layer, bottom, top = make_layer("Scale", SHAPE, xp=xp)
    bottom[0].reshape(6, 3)
    bottom[0].data[...] = 2
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top)
    bottom[0].reshape(6, 4)
    with pytest.raises(LayerError, match=r"Scale.*parameters of shape \(3,\) does not fit"):
        layer.reshape(bottom, top)


class TestParameter:
    make = staticmethod(functools.partial(make_layer, "Parameter", [], shape={"dim": [2, 3]}))

    def test_the_top_is_the_blob(self, xp):
        layer, bottom, top = self.make(xp=xp)
        layer.forward(bottom, top)
        assert top[0].shape == layer.blobs[0].shape == (2, 3)
        layer.blobs[0].data[1, 2] = 9
        assert top[0].data[1, 2] == 9

    def test_gradient(self, xp):
        assert [r.count for r in check_gradient(*self.make(xp=xp))] == [6]

    def test_no_gradient_unless_asked(self, xp):
        layer, bottom, top = self.make(xp=xp)
        layer.param_propagate_down = [False]
        assert (backward_once(layer, bottom, top)[0] == 0).all()

    def test_shape_is_needed(self):
        with pytest.raises(LayerError, match="Parameter.*parameter_param needs a shape"):
            make_layer("Parameter", [])
        with pytest.raises(LayerError, match=r"shape \[2, -1\] has a negative size"):
            make_layer("Parameter", [], shape={"dim": [2, -1]})
