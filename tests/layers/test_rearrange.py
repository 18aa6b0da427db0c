import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError


def forward(layer, bottom, top):
    layer.forward(bottom, top)
    return to_numpy(bottom[0].data), to_numpy(top[0].data)


# ---- Crop

@pytest.mark.parametrize("like, fields, part", [
    ((2, 3, 4, 5), {}, np.s_[:, :, :4, :5]),
    ((9, 9, 4, 5), dict(offset=[2]), np.s_[:, :, 2:6, 2:7]),
    ((9, 9, 4, 5), dict(offset=[2, 1]), np.s_[:, :, 2:6, 1:6]),
    ((9, 2, 4, 5), dict(axis=1, offset=[1, 0, 3]), np.s_[:, 1:3, :4, 3:8]),
    ((9, 9, 9, 3), dict(axis=-1, offset=[4]), np.s_[..., 4:7]),
    ((1, 2, 6, 7), dict(axis=0, offset=[1, 0, 0, 0]), np.s_[1:2, :2, :6, :7])], ids=str)
def test_crop(xp, like, fields, part):
    layer, bottom, top = make_layer("Crop", [(2, 3, 6, 8), like], xp=xp, **fields)
    x, y = forward(layer, bottom, top)
    assert_array_equal(y, x[part])
    check_gradient(layer, bottom, top)
    assert not backward_once(layer, bottom, top)[1].any()


@pytest.mark.parametrize("like, fields, message", [
    ((2, 3, 7, 8), {}, "axis 2: offset 0 and size 7 of bottom 1 reach beyond size 6"),
    ((2, 3, 6, 6), dict(offset=[0, 3]), "axis 3: offset 3 and size 6 .* beyond size 8"),
    ((2, 3, 6, 6), dict(offset=[0, 1, 1]), "offset is given 3 times: .* each of the 2 axes"),
    ((2, 3, 6), {}, "differ in number of axes")])
def test_crop_errors(xp, like, fields, message):
    with pytest.raises(LayerError, match="Crop.*" + message):
        make_layer("Crop", [(2, 3, 6, 8), like], xp=xp, **fields)


# ---- Tile

@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("tiles", [1, 3])
def test_tile(xp, axis, tiles):
    layer, bottom, top = make_layer("Tile", (2, 3, 4), xp=xp, axis=axis, tiles=tiles)
    x, y = forward(layer, bottom, top)
    assert_array_equal(y, np.concatenate([x] * tiles, axis=axis))
    check_gradient(layer, bottom, top)


def test_tile_errors(xp):
    with pytest.raises(LayerError, match="tiles 0 must be positive"):
        make_layer("Tile", (2, 3), xp=xp)


# ---- Permute

@pytest.mark.parametrize("order, full", [([0, 2, 3, 1], (0, 2, 3, 1)), ([3, 0, 1, 2], (3, 0, 1, 2)),
                                         ([2], (2, 0, 1, 3)), ([], (0, 1, 2, 3))])
def test_permute(xp, order, full):
    layer, bottom, top = make_layer("Permute", (2, 3, 4, 5), xp=xp, order=order)
    x, y = forward(layer, bottom, top)
    assert_array_equal(y, np.transpose(x, full))
    check_gradient(layer, bottom, top)


@pytest.mark.parametrize("order", [[0, 0], [3]])
def test_permute_errors(xp, order):
    with pytest.raises(LayerError, match="must name different axes of a bottom of shape"):
        make_layer("Permute", (2, 3, 4), xp=xp, order=order)
    with pytest.raises(LayerError, match="in place"):
        make_layer("Permute", (2, 3, 4), xp=xp, in_place=True)


# ---- SpaceToDepth

@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (3, 4, 6), (2, 2, 3, 4, 6)])
@pytest.mark.parametrize("b", [1, 2])
class TestSpaceToDepth:
    def test_forward(self, xp, shape, b):
        layer, bottom, top = make_layer("SpaceToDepth", shape, xp=xp, block_size=b)
        x, y = forward(layer, bottom, top)
        C, H, W = shape[-3:]
        assert y.shape == shape[:-3] + (C * b * b, H // b, W // b)
        for c, i, j in np.ndindex(C, b, b):
            assert_array_equal(y[..., (c * b + i) * b + j, :, :], x[..., c, i::b, j::b])

    def test_inverse(self, xp, shape, b):
        layer, bottom, top = make_layer("SpaceToDepth", shape, xp=xp, block_size=b)
        x, y = forward(layer, bottom, top)
        back = make_layer("SpaceToDepth", y.shape, xp=xp, values={0: y}, block_size=b, inverse=True)
        assert_array_equal(forward(*back)[1], x)
        check_gradient(*back, samples=20)

    def test_gradient(self, xp, shape, b):
        check_gradient(*make_layer("SpaceToDepth", shape, xp=xp, block_size=b), samples=20)


@pytest.mark.parametrize("shape, fields, message", [
    ((2, 4, 5, 4), {}, "5 x 4 is not made of blocks of block_size 2"),
    ((2, 6, 4, 4), dict(inverse=True), "6 channels are not a multiple .* 4"),
    ((4, 4), {}, r"must be ... x C x H x W, not \(4, 4\)"),
    ((2, 4, 4, 4), dict(block_size=0), "block_size 0 must be positive")])
def test_space_to_depth_errors(xp, shape, fields, message):
    with pytest.raises(LayerError, match=message):
        make_layer("SpaceToDepth", shape, xp=xp, **fields)


# ---- Reduction

REDUCTIONS = {"SUM": np.sum, "ASUM": lambda x, axis: abs(x).sum(axis=axis),
              "SUMSQ": lambda x, axis: (x ** 2).sum(axis=axis), "MEAN": np.mean}


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("coeff", [1, -2.5])
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reduction(xp, axis, coeff, operation):
    shape = (2, 3, 4)
    layer, bottom, top = make_layer("Reduction", shape, xp=xp, axis=axis, coeff=coeff,
                                    operation=operation)
    x, y = forward(layer, bottom, top)
    expected = coeff * REDUCTIONS[operation](x, axis=tuple(range(axis % 3, 3)))
    assert y.shape == shape[:axis % 3]
    assert_allclose(y, expected, rtol=1e-12)
    check_gradient(layer, bottom, top)


def test_reduction_of_asum_at_0_has_gradient_0(xp):
    layer, bottom, top = make_layer("Reduction", (3,), xp=xp, operation="ASUM",
                                    values={0: [-2, 0, 5]})
    layer.forward(bottom, top)
    top[0].diff[...] = 3
    layer.backward(top, [True], bottom)
    assert_array_equal(to_numpy(bottom[0].diff), [-3, 0, 3])
    with pytest.raises(LayerError, match="nothing to take the mean of"):
        make_layer("Reduction", (3, 0), xp=xp, operation="MEAN", axis=1)


# ---- SPP

@pytest.mark.parametrize("size", [(8, 8), (9, 10), (12, 7)])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("height", [1, 2, 3])
def test_spp_is_pooling_level_by_level(xp, size, pool, height):
    layer, bottom, top = make_layer("SPP", (2, 3, *size), xp=xp, pyramid_height=height, pool=pool)
    x, y = forward(layer, bottom, top)
    begin = 0
    for level in range(height):
        bins = 2 ** level
        kernel = [-(-s // bins) for s in size]
        lead = [(k * bins - s + 1) // 2 for k, s in zip(kernel, size)]
        expected = np.empty((2, 3, bins, bins))
        for i, j in np.ndindex(bins, bins):
            (y0, y1), (x0, x1) = ((b * k - p, b * k - p + k) for b, k, p in
                                  zip((i, j), kernel, lead))
            window = x[:, :, max(y0, 0):y1, max(x0, 0):x1]
            divisor = (min(y1, size[0] + lead[0]) - y0) * (min(x1, size[1] + lead[1]) - x0)
            expected[:, :, i, j] = window.max(axis=(2, 3)) if pool == "MAX" \
                else window.sum(axis=(2, 3)) / divisor
        part = y.reshape(2, -1)[:, begin:begin + 3 * bins * bins]
        assert_allclose(part, expected.reshape(2, -1), rtol=1e-12)
        begin += part.shape[1]
    assert y.shape == ((2, 3, 1, 1) if height == 1 else (2, begin))
    check_gradient(layer, bottom, top, samples=60)


def test_spp_of_images_of_another_size(xp):
    layer, bottom, top = make_layer("SPP", (2, 3, 8, 8), xp=xp, pyramid_height=2)
    for shape in (2, 3, 6, 11), (4, 3, 6, 11):
        bottom[0].reshape(shape)
        bottom[0].data[...] = np.random.default_rng(3).normal(size=shape)
        layer.reshape(bottom, top)
        assert top[0].shape == (shape[0], 15)
        x, y = forward(layer, bottom, top)
        assert_array_equal(y[:, :3], x.max(axis=(2, 3)))
        check_gradient(layer, bottom, top, samples=30)


@pytest.mark.parametrize("shape, fields, message", [
    ((2, 3, 3, 8), dict(pyramid_height=3), "3 x 8 can't be divided into 4 bins"),
    ((2, 3, 8, 8), {}, "pyramid_height must be positive"),
    ((2, 3, 8), dict(pyramid_height=1), "must be N x C x H x W"),
    ((2, 3, 8, 8), dict(pyramid_height=1, pool="STOCHASTIC"), "MAX or AVE")])
def test_spp_errors(xp, shape, fields, message):
    with pytest.raises(LayerError, match=message):
        make_layer("SPP", shape, xp=xp, **fields)
