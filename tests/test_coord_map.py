"""coord_map: against places found by pushing pixels through, and pycaffe's known cases."""

import numpy as np
import pytest

from minicaffe import NetSpec, layers as L, params as P
from minicaffe.coord_map import (AxisMismatchException, UndefinedMapException, compose, conv_params,
                                 coord_map_from_to, crop, crop_params, inverse)
from minicaffe.errors import Error


def image():
    return L.Input(input_param=dict(shape=dict(dim=[2, 1, 100, 100])))


def conv(top, **more):
    return L.Convolution(top, num_output=3, **more)


def offset(top):
    return top.fn.params["crop_param"]["offset"]


def test_small_and_large_padding():
    data = image()
    same = conv(data, kernel_size=5, pad=2)
    axis, a, b = coord_map_from_to(same, data)
    assert axis == 1 and a == 1 and b == 0
    valid = conv(data, kernel_size=5)
    assert offset(crop(data, valid)) == [2]
    deeper = conv(conv(conv(data, kernel_size=3), kernel_size=3), kernel_size=3)
    assert offset(crop(data, deeper)) == [3]
    assert crop(data, deeper).fn.params["crop_param"]["axis"] == 2
    with pytest.raises(Error, match=r"can't crop at offset \[-2\."):
        crop(valid, data)


def test_a_dilated_kernel_has_its_extent():
    data = image()
    assert offset(crop(data, conv(data, kernel_size=3, dilation=3))) == [3]
    assert conv_params(conv(data, kernel_size=3, dilation=2, stride=4, pad=1).fn) == (1, 4, 5, 1)


def test_height_and_width_of_their_own():
    data = image()
    assert offset(crop(data, conv(data, kernel_size=[3, 5]))) == [1, 2]
    assert offset(crop(data, conv(data, kernel_h=3, kernel_w=5))) == [1, 2]
    assert offset(crop(data, conv(data, convolution_param=dict(kernel_size=[3, 7], pad_h=1)))) == [0, 3]


@pytest.mark.parametrize("kernel, stride, pad", [(4, 2, 0), (4, 2, 1), (16, 8, 4), (3, 1, 1), (64, 32, 0)])
def test_upsampling_undoes_its_own_shrinking(kernel, stride, pad):
    data = image()
    small = conv(data, kernel_size=kernel, stride=stride, pad=pad)
    back = L.Deconvolution(small, convolution_param=dict(num_output=1, kernel_size=kernel,
                                                         stride=stride, pad=pad))
    axis, a, b = coord_map_from_to(back, data)
    assert axis == 1 and a == pytest.approx(1) and b == pytest.approx(0)


def test_fully_convolutional_net():
    """FCN-32s: the offset of its last crop is 19, as in its published prototxt."""
    n = NetSpec()
    n.data = image()
    top, first = n.data, 100
    for i, depth in enumerate((2, 2, 3, 3, 3)):
        for j in range(depth):
            top = L.ReLU(conv(top, kernel_size=3, pad=first), in_place=True)
            first = 1
        top = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    top = L.Dropout(L.ReLU(conv(top, kernel_size=7), in_place=True), in_place=True)
    score = conv(conv(top, kernel_size=1), kernel_size=1)
    n.upscore = L.Deconvolution(score, convolution_param=dict(num_output=21, kernel_size=64, stride=32))
    n.score = crop(n.upscore, n.data)
    assert offset(n.score) == [19]
    assert n.to_proto().layer[-1].crop_param.offset == [19]
    assert n.to_proto().layer[-1].bottom == ["upscore", "data"]


def test_crop_moves_and_its_reference_does_not_count():
    data = image()
    cut = L.Crop(data, conv(image(), kernel_size=9), crop_param=dict(axis=2, offset=[4, 6]))
    axis, a, b = coord_map_from_to(data, cut)
    assert axis == 1 and a == 1 and list(b) == [-4, -6]
    assert crop_params(cut.fn)[0] == 2
    assert offset(crop(data, L.Eltwise(cut, cut))) == [4, 6]
    with pytest.raises(UndefinedMapException):
        coord_map_from_to(data, L.Crop(image(), data))


def test_positions_of_a_stack_are_where_an_impulse_goes():
    """a x + b of a pooling and a convolution is the centre of the pixels that see pixel x."""
    data = image()
    top = conv(L.Pooling(data, kernel_size=3, stride=2), kernel_size=5, stride=3)
    _, a, b = coord_map_from_to(data, top)
    centres = [np.mean([2 * (3 * i + k) + l for k in range(5) for l in range(3)]) for i in range(4)]
    np.testing.assert_allclose([float((a * x + b).item()) for x in centres], range(4), atol=1e-12)


def test_algebra_of_maps():
    assert compose((None, 1, 0), (1, 2, 3)) == (1, 2, 3)
    assert compose((1, 2, 3), (1, 5, 7)) == (1, 10, 17)
    assert inverse((1, 2, 3)) == (1, 0.5, -1.5)
    with pytest.raises(AxisMismatchException, match="axis 1, the other axis 2"):
        compose((1, 1, 0), (2, 1, 0))


@pytest.mark.parametrize("build, message", [
    (lambda d: L.InnerProduct(d, num_output=2), "no spatial layers connect"),
    (lambda d: image(), "no map between tops of Input and Input"),
    (lambda d: L.Pooling(d, global_pooling=True), "no spatial layers connect")])
def test_tops_without_a_map(build, message):
    data = image()
    with pytest.raises(UndefinedMapException, match=message):
        crop(data, build(data))


def test_scales_that_differ():
    data = image()
    with pytest.raises(Error, match="one pixel of the one top"):
        crop(data, conv(data, kernel_size=2, stride=2))
