"""Deconvolution, Im2col and cyclic padding, each by what it has to do with Convolution."""

import functools

import numpy as np
import pytest
from helpers import check_adjoints, check_gradient, check_only_what_is_asked, make_layer
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

make = functools.partial(make_layer, "Deconvolution")

CASES = [((2, 4, 5, 3), dict(kernel_size=[3])),
         ((2, 4, 5, 3), dict(kernel_size=[3], stride=[2])),
         ((2, 4, 5, 3), dict(kernel_size=[4], stride=[2], pad=[1])),
         ((2, 4, 5, 3), dict(kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=0)),
         ((2, 4, 5, 3), dict(kernel_size=[1])),
         ((2, 4, 5, 3), dict(kernel_size=[2], stride=[3])),
         ((2, 4, 5, 3), dict(kernel_size=[3, 2], dilation=[2, 1], stride=[2, 1], pad=[1, 0])),
         ((2, 4, 5, 3), dict(kernel_size=[3], group=2, pad=[1])),
         ((2, 4, 5, 3), dict(kernel_size=[3], group=4, num_output=8, bias_term=False, stride=[2])),
         ((2, 4, 5, 3), dict(kernel_size=[3], num_output=2, pad=[1])),
         ((2, 2, 7, 6), dict(kernel_size=[3], num_output=12, pad=[1])),
         ((3, 2, 6), dict(kernel_size=[3], pad=[1], stride=[2])),
         ((2, 2, 3, 2, 4), dict(kernel_size=[2, 3, 1], pad=[1, 0, 0])),
         ((2, 3, 4, 5, 3), dict(kernel_size=[2], axis=2)),
         ((4, 6, 3), dict(kernel_size=[3], axis=0)),
         ((2, 4, 6, 6), dict(kernel_size=[3], pad=[1], pad_mode="CYCLIC")),
         ((2, 4, 6, 6), dict(kernel_size=[4], pad=[1], stride=[2], pad_mode="CYCLIC"))]


def with_outputs(fields):
    return {"num_output": 4, **fields}


def naive(layer, x, w, c):
    """Scatter every entry of x with its kernel, one after the other."""
    p, n = layer.param, layer.axes
    x = x.reshape(-1, *x.shape[layer.axis:])
    full = [t * (s - 1) + d * (k - 1) + 1 for t, s, d, k in
            zip(layer.stride, x.shape[2:], layer.dilation, layer.kernel)]
    y = np.zeros((len(x), p.num_output, *full))
    outputs, inputs = p.num_output // p.group, x.shape[1] // p.group
    for channel in range(x.shape[1]):
        group = slice(channel // inputs * outputs, (channel // inputs + 1) * outputs)
        for place in np.ndindex(*x.shape[2:]):
            here = tuple(slice(i * t, i * t + d * (k - 1) + 1, d) for i, t, d, k in
                         zip(place, layer.stride, layer.dilation, layer.kernel))
            entry = x[(slice(None), channel, *place)].reshape(-1, *(1,) * (n + 1))
            y[(slice(None), group, *here)] += entry * w[channel]
    for axis, pad in enumerate(layer.pad, 2):                  # cut off, or wrapped around
        y, size = np.moveaxis(y, axis, 0), y.shape[axis] - 2 * pad
        inner = y[pad:pad + size].copy()
        if p.pad_mode == p.CYCLIC:
            for i in [*range(pad), *range(pad + size, len(y))]:
                inner[(i - pad) % size] += y[i]
        y = np.moveaxis(inner, 0, axis)
    return y + np.reshape(c, (-1,) + (1,) * n)


def weights(layer):
    w = to_numpy(layer.blobs[0].data)
    return w, to_numpy(layer.blobs[1].data) if layer.param.bias_term else 0


@pytest.mark.parametrize("shape, fields", CASES, ids=str)
class TestDeconvolution:
    def test_forward(self, xp, shape, fields):
        layer, bottom, top = make(shape, xp=xp, **with_outputs(fields))
        layer.forward(bottom, top)
        expected = naive(layer, to_numpy(bottom[0].data), *weights(layer))
        y = to_numpy(top[0].data)
        assert y.shape[:layer.axis] == shape[:layer.axis]
        assert_allclose(y.reshape(expected.shape), expected, rtol=1e-11, atol=1e-12)

    def test_gradient(self, xp, shape, fields):
        check_gradient(*make(shape, xp=xp, **with_outputs(fields)), samples=40)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 2e-4)])
@pytest.mark.parametrize("shape, fields", [
    ((130, 16, 8, 8), dict(kernel_size=[4], stride=[2], pad=[1], num_output=8)),
    ((97, 4, 9, 9), dict(kernel_size=[3], pad=[1], group=2, num_output=16))])
def test_large_batches_in_chunks(xp, dtype, rtol, shape, fields):
    layer, bottom, top = make(shape, xp=xp, dtype=dtype, **fields)
    check_adjoints(layer, bottom, top, naive, rtol)


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("propagate_down", [True, False])
def test_only_what_is_asked_for_is_computed(xp, flags, propagate_down):
    layer, bottom, top = make((2, 4, 5, 3), xp=xp, num_output=4, kernel_size=[3])
    check_only_what_is_asked(layer, bottom, top, flags, propagate_down)


def test_several_bottoms_and_other_shapes(xp):
    layer, bottom, top = make([(2, 3, 4, 4)] * 2, xp=xp, num_top=2, num_output=4, kernel_size=[3])
    check_gradient(layer, bottom, top, samples=40)
    for blob in bottom:
        blob.reshape(3, 3, 2, 5)
        blob.data[...] = np.random.default_rng(1).normal(size=blob.shape)
    layer.reshape(bottom, top)
    assert top[1].shape == (3, 4, 4, 7)
    check_gradient(layer, bottom, top, samples=40)


@pytest.mark.parametrize("fields, message", [
    (dict(kernel_size=[3], pad=[4]), r"pad \(4, 4\) leaves nothing of an output of \(8, 8\)"),
    (dict(kernel_size=[3], group=2), "number of channels 3 must be .* of group 2"),
    (dict(kernel_size=[3], pad=[3], pad_mode="CYCLIC"),
     r"pad \(3, 3\) .* CYCLIC is larger than .* \(2, 2\)"),
    (dict(), "kernel must be given once or 2 times, not 0")])
def test_errors(fields, message):
    with pytest.raises(LayerError, match="Deconvolution.*" + message):
        make((2, 3, 6, 6), **with_outputs(fields))


# ---- Im2col

IM2COL = [((2, 3, 6, 7), dict(kernel_size=[3])),
          ((2, 3, 6, 7), dict(kernel_size=[3, 2], stride=[2, 1], pad=[1, 2])),
          ((2, 3, 6, 7), dict(kernel_size=[2], dilation=[3], pad=[1])),
          ((2, 3, 9), dict(kernel_size=[3])),
          ((2, 2, 3, 4, 5), dict(kernel_size=[2])),
          ((2, 3, 6, 7), dict(kernel_size=[3], pad=[2], pad_mode="CYCLIC"))]


@pytest.mark.parametrize("shape, fields", IM2COL, ids=str)
def test_im2col_is_convolution_without_its_sum(xp, shape, fields):
    layer, bottom, top = make_layer("Im2col", shape, xp=xp, **fields)
    layer.forward(bottom, top)
    y = to_numpy(top[0].data)
    convolution, _, same = make_layer("Convolution", shape, xp=xp, num_output=4, bias_term=False,
                                      values={0: bottom[0].data}, **fields)
    convolution.forward(bottom, same)
    w = to_numpy(convolution.blobs[0].data).reshape(4, -1)
    assert y.shape == (shape[0], w.shape[1], *same[0].shape[2:])
    expected = to_numpy(same[0].data)
    assert_allclose(np.moveaxis(np.tensordot(w, y, (1, 1)), 0, 1), expected, rtol=1e-11)
    check_gradient(layer, bottom, top, samples=60)


# ---- cyclic padding

CYCLIC = [((2, 3, 6, 7), dict(kernel_size=[3], pad=[1])),
          ((2, 3, 6, 7), dict(kernel_size=[5, 3], pad=[2, 0], stride=[2])),
          ((2, 3, 6, 7), dict(kernel_size=[3], pad=[6, 7])),
          ((2, 4, 6, 7), dict(kernel_size=[3], pad=[2], dilation=[2], group=2, num_output=2)),
          ((2, 3, 6, 7), dict(kernel_size=[1], pad=[1])),
          ((2, 3, 7), dict(kernel_size=[3], pad=[1])),
          ((2, 2, 3, 4, 5), dict(kernel_size=[3], pad=[1]))]


@pytest.mark.parametrize("shape, fields", CYCLIC, ids=str)
def test_cyclic_padding(xp, shape, fields):
    fields = with_outputs(fields)
    layer, bottom, top = make_layer("Convolution", shape, xp=xp, pad_mode="CYCLIC", **fields)
    layer.forward(bottom, top)
    pad = layer.pad
    border = [(0, 0), (0, 0)] + [(p, p) for p in pad]
    wrapped = np.pad(to_numpy(bottom[0].data), border, mode="wrap")
    plain, around, expected = make_layer("Convolution", wrapped.shape, xp=xp, values={0: wrapped},
                                         **{**fields, "pad": [0]})
    for blob, other in zip(plain.blobs, layer.blobs):
        blob.data[...] = other.data
    plain.forward(around, expected)
    assert_allclose(to_numpy(top[0].data), to_numpy(expected[0].data), rtol=1e-11, atol=1e-12)
    check_gradient(layer, bottom, top, samples=60)


def test_a_shifted_image_gives_a_shifted_result(xp):
    layer, bottom, top = make_layer("Convolution", (40, 3, 6, 7), xp=xp, pad_mode="CYCLIC",
                                    num_output=4, kernel_size=[3], pad=[1])
    layer.forward(bottom, top)
    before = to_numpy(top[0].data).copy()
    bottom[0].data[...] = np.roll(to_numpy(bottom[0].data), (2, 3), axis=(2, 3))
    layer.forward(bottom, top)
    assert_allclose(to_numpy(top[0].data), np.roll(before, (2, 3), axis=(2, 3)), rtol=1e-11)


def test_cyclic_padding_larger_than_the_image():
    message = r"pad \(7, 7\) with pad_mode CYCLIC is larger .* \(6, 7\)"
    with pytest.raises(LayerError, match=message):
        make_layer("Convolution", (2, 3, 6, 7), pad_mode="CYCLIC", num_output=4, kernel_size=[3],
                   pad=[7])
