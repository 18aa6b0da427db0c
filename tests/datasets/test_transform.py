import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from minicaffe.datasets import Transformer
from minicaffe.errors import DataError
from minicaffe.proto import caffe_pb2, weights

SHAPE = (3, 6, 7)


def transformer(train=True, shape=SHAPE, **param):
    return Transformer(caffe_pb2.TransformationParameter(**param), shape, train)


def random_images(dtype=np.uint8, n=8, shape=SHAPE):
    return np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(dtype)


@pytest.fixture
def mean_file(tmp_path):
    weights.write_blob(np.random.default_rng(1).uniform(0, 255, (1, *SHAPE)), tmp_path / "mean.binaryproto")
    return str(tmp_path / "mean.binaryproto")


def naive(images, mean, param, train, rng):
    """A picture at a time, pixel by pixel; mean: (C, H, W). The same draws as Transformer."""
    n, C, H, W = images.shape
    pad, crop = param.get("pad", 0), param.get("crop_size", 0)
    height, width = (crop, crop) if crop else (H + 2 * pad, W + 2 * pad)
    free_y, free_x = H + 2 * pad - height, W + 2 * pad - width
    top, left = np.full(n, free_y // 2), np.full(n, free_x // 2)
    if crop and train:
        top, left = rng.integers(free_y + 1, size=n), rng.integers(free_x + 1, size=n)
    mirrored = rng.integers(2, size=n) if param.get("mirror") else np.zeros(n)
    out = np.zeros((n, C, height, width))
    for i, c, y, x in np.ndindex(out.shape):
        h, w = top[i] + y - pad, left[i] + x - pad              # in the stored picture
        if 0 <= h < H and 0 <= w < W:
            to = width - 1 - x if mirrored[i] else x
            out[i, c, y, to] = (images[i, c, h, w] - mean[c, h, w]) * param.get("scale", 1)
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("mean", ["none", "value", "values", "file"])
@pytest.mark.parametrize("param", [
    {}, {"scale": 0.5}, {"mirror": True}, {"crop_size": 3}, {"crop_size": 6, "scale": 2}, {"pad": 2},
    {"crop_size": 4, "mirror": True, "scale": 0.25}, {"pad": 1, "crop_size": 6, "mirror": True},
    {"pad": 3, "crop_size": 9, "scale": 3}], ids=str)
def test_equals_naive_loop(mean_file, dtype, train, mean, param):
    given, picture = {"none": ({}, np.zeros(SHAPE)),
                      "value": ({"mean_value": [7]}, np.full(SHAPE, 7)),
                      "values": ({"mean_value": [1, 20, 30]}, np.broadcast_to([[[1]], [[20]], [[30]]], SHAPE)),
                      "file": ({"mean_file": mean_file}, weights.read_blob(mean_file)[0])}[mean]
    images = random_images(dtype)
    before = images.copy()
    t = transformer(train, **param, **given)
    out = np.full((8, *t.output_shape), np.nan, np.float32)
    t(images, np.random.default_rng(5), out)
    assert_allclose(out, naive(images, picture, param, train, np.random.default_rng(5)), rtol=1e-5, atol=1e-4)
    assert_array_equal(images, before)


def test_float64_keeps_its_digits():
    out = np.empty((8, *SHAPE))
    transformer(scale=1 / 256, mean_value=[0.1])(random_images(), None, out)
    assert_allclose(out, (random_images() - np.float64(np.float32(0.1))) / 256, rtol=1e-15)


def test_all_crops_and_both_sides_are_drawn():
    ramp = np.arange(42, dtype=np.uint8).reshape(1, 1, 6, 7).repeat(500, axis=0)
    t = transformer(shape=(1, 6, 7), crop_size=5, mirror=True)
    out = t(ramp, np.random.default_rng(0), np.empty((500, 1, 5, 5)))
    corners = {(first, last) for first, last in out[:, 0, 0, [0, -1]]}
    assert corners == {(a, b) for y in (0, 7) for x in range(3) for a, b in [(y + x, y + x + 4), (y + x + 4, y + x)]}


def test_images_may_be_strided():
    images = random_images().transpose(0, 1, 3, 2)
    t = transformer(shape=(3, 7, 6), crop_size=4, mirror=True)
    a, b = (t(x, np.random.default_rng(2), np.empty((8, 3, 4, 4))) for x in (images, images.copy()))
    assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("side", [3, 5, 6, 7, 11, 20])
def test_resize_is_linear_between_pixels(side, dtype):
    images = random_images(dtype)
    out = transformer(resize=side)(images, None, np.empty((8, 3, side, side), np.float32))
    wanted = ndimage.zoom(images.astype(np.float64), (1, 1, side / 6, side / 7), order=1, mode="nearest",
                          grid_mode=True)
    assert_allclose(out, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("train", [True, False])
def test_resize_comes_first(mean_file, train):
    images, param = random_images(), {"pad": 2, "crop_size": 9, "mirror": True, "scale": 0.5}
    first, mean = transformer(resize=8), weights.read_blob(mean_file)
    scaled, scaled_mean = (first(x, None, np.empty((len(x), 3, 8, 8))) for x in (images, mean))
    t = transformer(train, resize=8, mean_file=mean_file, **param)
    out = t(images, np.random.default_rng(5), np.empty((8, *t.output_shape)))
    assert_allclose(out, naive(scaled, scaled_mean[0], param, train, np.random.default_rng(5)), atol=1e-4)


@pytest.mark.parametrize("param, match", [
    ({"crop_size": 7}, "transform_param: crop_size 7 is larger than the image, 6 x 7$"),
    ({"crop_size": 9, "pad": 1}, "crop_size 9 is larger than the image, 6 x 7 with pad 1"),
    ({"crop_size": 9, "resize": 8}, "crop_size 9 is larger than the image, 8 x 8$"),
    ({"mean_value": [1, 2]}, "2 values of mean_value do not fit 3 channels"),
    ({"mean_value": [1], "mean_file": "m"}, "give mean_file or mean_value, not both"),
    ({"mean_file": "/no/mean.binaryproto"}, "transform_param: mean_file: /no/mean.binaryproto not found")])
def test_bad_parameters(param, match):
    with pytest.raises(DataError, match=match):
        transformer(**param)


def test_mean_of_another_shape(mean_file):
    with pytest.raises(DataError, match=r"mean.binaryproto is \(1, 3, 6, 7\), the images are \(3, 6, 6\)"):
        transformer(shape=(3, 6, 6), mean_file=mean_file)


def test_foreign_mean_file(tmp_path):
    (tmp_path / "mean").write_bytes(b"foreign")
    with pytest.raises(DataError, match="transform_param: mean_file: .*mean"):
        transformer(mean_file=str(tmp_path / "mean"))
