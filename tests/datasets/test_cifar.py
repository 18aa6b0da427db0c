import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets.cifar import CifarDataset
from minicaffe.errors import DataError

RNG = np.random.default_rng(0)


def write_records(path, labels, label_bytes=1):
    """A .bin file of random pixels; for CIFAR-100 the coarse label is 99 - fine. Returns the pixels."""
    pixels = RNG.integers(0, 256, (len(labels), 3072), np.uint8)
    fine = np.array(labels, np.uint8)[:, None]
    columns = [99 - fine, fine, pixels] if label_bytes == 2 else [fine, pixels]
    np.concatenate(columns, 1).tofile(path)
    return pixels.reshape(-1, 3, 32, 32)


@pytest.fixture
def cifar10(tmp_path):
    """Folder, pixels and labels of a training set of three batches."""
    pixels = [write_records(tmp_path / f"data_batch_{i}.bin", range(i, i + 3)) for i in (1, 2, 5)]
    write_records(tmp_path / "test_batch.bin", [9, 8])
    return tmp_path, np.concatenate(pixels), np.array([1, 2, 3, 2, 3, 4, 5, 6, 7])


@pytest.mark.parametrize("indices", [[0, 1], [3, 4, 5], [2, 3, 4, 5, 6], [8, 0, 1], [7, 2, 2, 5], [8]])
def test_reads_any_indices_of_several_batches(cifar10, indices):
    folder, pixels, labels = cifar10
    data = CifarDataset(folder)
    assert len(data) == 9 and data.shape == (3, 32, 32)
    images, got = data.read(np.array(indices))
    assert_array_equal(images, pixels[indices])
    assert_array_equal(got, labels[indices])
    assert images.dtype == np.uint8 and got.dtype == np.int64


def test_split_and_single_file(cifar10):
    folder = cifar10[0]
    assert_array_equal(CifarDataset(folder, "test").labels, [9, 8])
    assert_array_equal(CifarDataset(folder / "data_batch_5.bin").labels, [5, 6, 7])


def test_cifar100_gives_the_fine_label(tmp_path):
    pixels = write_records(tmp_path / "train.bin", [70, 99], 2)
    write_records(tmp_path / "test.bin", [3], 2)
    for source in tmp_path, tmp_path / "train.bin":
        data = CifarDataset(source)
        assert_array_equal(data.labels, [70, 99])
        assert_array_equal(data.read(np.arange(2))[0], pixels)
    assert_array_equal(CifarDataset(tmp_path, "test").labels, [3])


def test_truncated(cifar10):
    path = cifar10[0] / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="data_batch_2.bin: 9218 bytes are not a multiple of CIFAR-10's "
                                        "record of 3073"):
        CifarDataset(cifar10[0])


def test_label_out_of_range(tmp_path):
    write_records(tmp_path / "data_batch_1.bin", [0, 10])
    with pytest.raises(DataError, match="record 1 has label 10, CIFAR-10 has 0 to 9"):
        CifarDataset(tmp_path)


def test_cifar100_label_out_of_range(tmp_path):
    write_records(tmp_path / "train.bin", [100], 2)
    with pytest.raises(DataError, match="record 0 has label 100, CIFAR-100 has 0 to 99"):
        CifarDataset(tmp_path)


def test_empty_file(tmp_path):
    (tmp_path / "test_batch.bin").touch()
    with pytest.raises(DataError, match="test_batch.bin: the file is empty"):
        CifarDataset(tmp_path, "test")


def test_folder_without_the_files(tmp_path):
    with pytest.raises(DataError, match="holds no .bin files of the binary version"):
        CifarDataset(tmp_path)
    write_records(tmp_path / "test_batch.bin", [1])
    with pytest.raises(DataError, match="holds no train files .data_batch_1.bin, .* of CIFAR-10"):
        CifarDataset(tmp_path)
    write_records(tmp_path / "test.bin", [1], 2)
    with pytest.raises(DataError, match="of both CIFAR-10 and CIFAR-100"):
        CifarDataset(tmp_path)
