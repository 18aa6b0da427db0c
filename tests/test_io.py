"""io: the Transformer against its formula, crops and messages against loops."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe import io
from minicaffe.errors import BackendError, DataError, Error, WeightsError
from minicaffe.proto import caffe_pb2

rng = np.random.default_rng(0)


def test_blobs_and_vectors():
    a, b = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)[..., 0], np.float32([1, 2])
    assert_array_equal(io.blobproto_to_array(io.array_to_blobproto(a)), a)
    both = io.array_to_blobproto(a, diff=-a)
    assert_array_equal(io.blobproto_to_array(both, return_diff=True), -a)
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=2, data=[1, 2, 3, 4])
    assert io.blobproto_to_array(old).shape == (1, 2, 1, 2)
    parts = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str([a, b]))
    assert len(parts) == 2
    assert_array_equal(parts[0], a), assert_array_equal(parts[1], b)
    with pytest.raises(DataError, match="not a BlobProtoVector"):
        io.blobprotovector_str_to_arraylist(b"\x0b\xff")
    with pytest.raises(WeightsError, match=r"diff of shape \(2,\)"):
        io.array_to_blobproto(a, diff=b)


@pytest.mark.parametrize("array", [rng.integers(256, size=(3, 2, 4), dtype=np.uint8),
                                   rng.normal(size=(1, 2, 2)).astype(np.float32)])
def test_datum(array):
    datum = io.array_to_datum(array, 7)
    assert (datum.label, datum.channels, datum.height) == (7, *array.shape[:2])
    assert bool(datum.data) == (array.dtype == np.uint8)
    back = io.datum_to_array(caffe_pb2.Datum.FromString(datum.SerializeToString()))
    assert_array_equal(back, array)
    assert back.dtype == array.dtype and not io.array_to_datum(array).HasField("label")


def test_bad_datum():
    with pytest.raises(DataError, match="3 axes .* not of 2"):
        io.array_to_datum(np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"says \(1, 2, 2\) and holds 3 values"):
        io.datum_to_array(caffe_pb2.Datum(channels=1, height=2, width=2, data=b"abc"))
    with pytest.raises(DataError, match="encoded picture"):
        io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"abc"))


def full(shape=(2, 3, 4, 5)):
    t = io.Transformer({"data": shape})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 0, 1))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([1, 2, 3]))
    t.set_input_scale("data", 0.5)
    return t


def test_preprocess_is_its_formula_and_deprocess_inverts_it():
    image = rng.random((4, 5, 3)).astype(np.float32)
    out = full().preprocess("data", image)
    assert out.shape == (3, 4, 5) and out.dtype == np.float32
    for k, source in enumerate((2, 0, 1)):
        assert_allclose(out[k], (image[:, :, source] * 255 - (k + 1)) * 0.5, rtol=1e-5)
    assert_allclose(full().deprocess("data", out), image, atol=1e-6)
    assert_allclose(full().deprocess("data", out[None]), image, atol=1e-6)
    assert full().preprocess("data", rng.random((9, 7, 3))).shape == (3, 4, 5)


def test_nothing_set_and_a_mean_picture():
    t = io.Transformer({"data": (1, 3, 4, 5)})
    image = rng.random((4, 5, 3)).astype(np.float32)
    assert_array_equal(t.preprocess("data", image), image)
    t.set_transpose("data", (2, 0, 1))
    mean = rng.random((3, 4, 5)).astype(np.float32)
    t.set_mean("data", mean)
    assert_array_equal(t.preprocess("data", image), image.transpose(2, 0, 1) - mean)
    t.set_mean("data", mean[0])
    assert_array_equal(t.preprocess("data", image), image.transpose(2, 0, 1) - mean[0])


@pytest.mark.parametrize("call, message", [
    (lambda t: t.preprocess("x", np.zeros((2, 2, 3))), "'x' is not one of the net inputs: data"),
    (lambda t: t.set_transpose("data", (0, 1)), "transpose .* is no order of its 3 axes"),
    (lambda t: t.set_channel_swap("data", (0, 1)), "channel_swap .* no order of its 3 channels"),
    (lambda t: t.set_mean("data", np.zeros(2)), "has 2 channels, the input 3"),
    (lambda t: t.set_mean("data", np.zeros((3, 5, 5))), r"shape \(3, 5, 5\), the input \(2, 3, 4, 5\)"),
    (lambda t: t.preprocess("data", np.zeros((9, 9))), r"not of shape \(9, 9\)")])
def test_bad_transformations(call, message):
    with pytest.raises(Error, match=message):
        call(io.Transformer({"data": (2, 3, 4, 5)}))


def test_resize_by_areas():
    """Bilinear with pixel centres at (i + 1/2) / n of the width, held constant outside."""
    image = rng.random((6, 8, 3)).astype(np.float32)
    out = io.resize_image(image, (4, 13))
    assert out.dtype == np.float32 and out.shape == (4, 13, 3)
    y, x = (((np.arange(n) + 0.5) * old / n - 0.5).clip(0, old - 1) for n, old in ((4, 6), (13, 8)))
    for k in range(3):
        rows = np.stack([np.interp(y, np.arange(6), image[:, j, k]) for j in range(8)], axis=1)
        expected = np.stack([np.interp(x, np.arange(8), row) for row in rows])
        assert_allclose(out[:, :, k], expected, atol=1e-5)
    assert_array_equal(io.resize_image(image, (6, 8)), image)


def test_resize_of_other_channel_counts_keeps_corner_points():
    image = rng.random((5, 4, 2)).astype(np.float32)
    out = io.resize_image(image, (9, 7))
    assert_allclose(out[::2, ::2], image, atol=1e-5)


def test_oversample():
    images = rng.random((2, 7, 6, 3)).astype(np.float32)
    crops = io.oversample(images, (4, 3))
    assert crops.shape == (20, 4, 3, 3)
    for i in range(2):
        places = [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
        for j, (y, x) in enumerate(places):
            crop = images[i, y:y + 4, x:x + 3]
            assert_array_equal(crops[10 * i + j], crop)
            assert_array_equal(crops[10 * i + 5 + j], crop[:, ::-1])
    with pytest.raises(DataError, match="crops of 8 x 3 don't fit into images of 7 x 6"):
        io.oversample(images, (8, 3))


def test_load_image(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    pixels = rng.integers(256, size=(4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = io.load_image(tmp_path / "a.png")
    assert image.dtype == np.float32
    assert_allclose(image, pixels / 255, atol=1e-7)
    grey = io.load_image(tmp_path / "a.png", color=False)
    assert grey.shape == (4, 5, 1)
    assert_allclose(grey[:, :, 0] * 255, pixels @ [0.299, 0.587, 0.114], atol=1)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png")
    assert io.load_image(tmp_path / "grey.png").shape == (4, 5, 3)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:60])
    for name, message in (("none.png", "no such file"), ("cut.png", "cut.png: can't be read")):
        with pytest.raises(DataError, match=message):
            io.load_image(tmp_path / name)


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(BackendError, match=r'reading pictures needs the package PIL.*\[image\]'):
        io.load_image("a.png")
