import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from minicaffe.datasets.svhn import SvhnDataset
from minicaffe.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), np.uint8)
Y = np.array([[1], [10], [9], [2], [10]], np.uint8)


def write(path, **arrays):
    scipy.io.savemat(path, arrays, do_compression=True)


@pytest.mark.parametrize("source", ["", "train_32x32.mat"])
def test_reads_and_turns_label_10_into_0(tmp_path, source):
    write(tmp_path / "train_32x32.mat", X=X, y=Y)
    data = SvhnDataset(tmp_path / source)
    images, labels = data.read(np.array([3, 1]))
    assert len(data) == 5 and data.shape == (3, 32, 32)
    assert_array_equal(images, X.transpose(3, 2, 0, 1)[[3, 1]])
    assert_array_equal(labels, [2, 0])


def test_split(tmp_path):
    write(tmp_path / "test_32x32.mat", X=X, y=Y)
    assert len(SvhnDataset(tmp_path, "test")) == 5
    with pytest.raises(DataError, match="train_32x32.mat: no such file"):
        SvhnDataset(tmp_path, "train")


@pytest.mark.parametrize("arrays, match", [
    ({"X": X, "z": Y}, "no array y in it"),
    ({"X": X, "y": Y[:3]}, "5 images but 3 labels"),
    ({"X": X[..., :0], "y": Y[:0]}, "holds no images|not height x width"),
    ({"X": X.transpose(3, 0, 1, 2), "y": Y}, r"X is \(5, 32, 32, 3\) uint8, not height x width x 3 x N"),
    ({"X": X.astype(float), "y": Y}, "float64, not height"),
    ({"X": X, "y": Y + 2}, "labels run from 3 to 12, not 1 to 10")])
def test_bad_arrays(tmp_path, arrays, match):
    write(tmp_path / "a.mat", **arrays)
    with pytest.raises(DataError, match=match):
        SvhnDataset(tmp_path / "a.mat")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:100], lambda b: b[:1000],
                                    lambda b: b"foreign" * 50])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "a.mat"
    write(path, X=X, y=Y)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="a.mat: (not a readable .mat file|no array)"):
        SvhnDataset(path)
