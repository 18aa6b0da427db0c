import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets.npz import NpzDataset
from minicaffe.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), np.uint8)
LABELS = np.arange(6)


def write(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


@pytest.mark.parametrize("images, labels", [("images", "labels"), ("data", "label"), ("x", "y"), ("X", "y"),
                                            ("train_images", "train_labels"), ("x_train", "y_train")])
def test_names(tmp_path, images, labels):
    data = NpzDataset(write(tmp_path, **{images: IMAGES, labels: LABELS}))
    got, numbers = data.read(np.array([4, 2]))
    assert_array_equal(got, IMAGES[[4, 2]])
    assert_array_equal(numbers, [4, 2])
    assert got.dtype == np.uint8 and numbers.dtype == np.int64


def test_split_goes_before_plain_names(tmp_path):
    path = write(tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2], x=IMAGES[:1])
    assert len(NpzDataset(path)) == 6
    assert len(NpzDataset(path, "test")) == 2


@pytest.mark.parametrize("shape, expected", [((6, 4, 5), (1, 4, 5)), ((6, 20), (20, 1, 1))])
def test_shapes(tmp_path, shape, expected):
    assert NpzDataset(write(tmp_path, x=np.zeros(shape), y=LABELS)).shape == expected


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool])
def test_other_numbers_become_float32(tmp_path, dtype):
    data = NpzDataset(write(tmp_path, x=IMAGES.astype(dtype), y=LABELS.astype(float)[:, None]))
    images, labels = data.read(np.arange(2))
    assert images.dtype == np.float32 and labels.shape == (2,)


@pytest.mark.parametrize("arrays, match", [
    ({"x": IMAGES}, r"no array of labels \(labels, label, y, or with train_ before or _train after it\) among x"),
    ({"y": LABELS}, "no array of images"),
    ({"x": IMAGES, "y": LABELS[:4]}, "6 images but 4 labels"),
    ({"x": IMAGES[:0], "y": LABELS[:0]}, "holds no images"),
    ({"x": IMAGES[None], "y": LABELS}, r"images are \(1, 6, 3, 4, 5\) uint8"),
    ({"x": np.array(["a", "b"])[:, None], "y": LABELS[:2]}, "not numbers"),
    ({"x": IMAGES, "y": LABELS + 0.5}, "not whole numbers"),
    ({"x": IMAGES, "y": np.array(list("abcdef"))}, "not whole numbers"),
    ({"x": IMAGES, "y": np.eye(6)}, r"labels are \(6, 6\) float64, not whole numbers"),
    ({"x": IMAGES, "y": np.array([{}] * 6)}, "not a readable .npz archive")])
def test_bad_arrays(tmp_path, arrays, match):
    with pytest.raises(DataError, match=match):
        NpzDataset(write(tmp_path, **arrays))


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:200], lambda b: b"foreign" * 9,
                                    lambda b: b[:60] + b"\xff" * 40 + b[100:]])
def test_damaged_file(tmp_path, damage):
    path = write(tmp_path, x=IMAGES, y=LABELS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="a.npz: not a readable .npz archive"):
        NpzDataset(path)


def test_npy_file(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(DataError, match="a.npy: not a readable .npz archive"):
        NpzDataset(tmp_path / "a.npy")
