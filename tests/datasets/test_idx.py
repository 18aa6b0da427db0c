import gzip
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets.idx import IdxDataset
from minicaffe.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 3), np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_pair(folder, prefix="train", images=IMAGES, labels=LABELS, dash="-", gz=False):
    """An images and a labels file; either may be given as raw bytes."""
    for array, what in (images, f"images{dash}idx3"), (labels, f"labels{dash}idx1"):
        data = array if isinstance(array, bytes) else idx_bytes(array)
        path = folder / f"{prefix}-{what}-ubyte{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(data) if gz else data)


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("dash", ["-", "."])
@pytest.mark.parametrize("source", ["train", "train-images{dash}idx3-ubyte{gz}", ""])
def test_reads_all_ways_to_name_it(tmp_path, gz, dash, source):
    write_pair(tmp_path, gz=gz, dash=dash)
    data = IdxDataset(tmp_path / source.format(dash=dash, gz=".gz" if gz else ""))
    assert data.shape == (1, 4, 3) and len(data) == 7
    for indices in [0, 1, 2], [6, 0, 3]:
        images, labels = data.read(np.array(indices))
        assert_array_equal(images, IMAGES[indices, None])
        assert_array_equal(labels, LABELS[indices])
        assert images.dtype == np.uint8 and labels.dtype == np.int64


def test_folder_alone_is_chosen_by_split(tmp_path):
    write_pair(tmp_path)
    write_pair(tmp_path, "t10k", IMAGES[:2], LABELS[:2])
    assert len(IdxDataset(tmp_path, "train")) == 7
    assert len(IdxDataset(tmp_path, "test")) == 2


def test_colour_images_have_four_axes(tmp_path):
    write_pair(tmp_path, images=IMAGES.reshape(7, 2, 2, 3))
    assert IdxDataset(tmp_path / "train").shape == (2, 2, 3)


GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize("images, labels, match", [
    (GOOD[:-1], LABELS, r"images-idx3-ubyte: truncated: its header \(7, 4, 3\) asks for 100 bytes, it has 99"),
    (GOOD[:9], LABELS, "truncated within its header"),
    (GOOD[:3], LABELS, "truncated: 3 bytes are not an IDX file"),
    (b"", LABELS, "images-idx3-ubyte: the file is empty"),
    (GOOD + b"xy", LABELS, "2 bytes too many after the 84"),
    (b"\x89PNG" + GOOD, LABELS, "not an IDX file of this kind: it begins with 89504e47, "
                                "not 00000803 or 00000804"),
    (idx_bytes(LABELS), LABELS, "it begins with 00000801, not 00000803"),
    (b"\0\0\x0d\x03" + GOOD[4:], LABELS, "it begins with 00000d03"),
    (b"\xff" * 4 + b"\xff" * 12, LABELS, "it begins with ffffffff"),
    (b"\0\0\x08\x03" + b"\xff" * 12, LABELS, "truncated: its header"),
    (IMAGES, LABELS[:5], "train-images-idx3-ubyte and train-labels-idx1-ubyte: 7 images but 5 labels"),
    (IMAGES[:0], LABELS[:0], "holds no images"),
    (IMAGES, idx_bytes(LABELS)[:-2], "labels-idx1-ubyte: truncated"),
    (IMAGES, GOOD, "labels-idx1-ubyte: not an IDX file of this kind: it begins with 00000803, not 00000801")])
def test_bad_files(tmp_path, images, labels, match):
    write_pair(tmp_path, images=images, labels=labels)
    with pytest.raises(DataError, match=match):
        IdxDataset(tmp_path / "train")


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:20] + b"\xff" * 10 + b[30:],
                                    lambda b: b[:10] + b"\xff" + b[11:],
                                    lambda b: b"not a gzip file"])
def test_damaged_gz(tmp_path, damage):
    write_pair(tmp_path, gz=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="ubyte.gz: (truncated or damaged|can't be read: not a gzipped file)"):
        IdxDataset(tmp_path / "train")


def test_no_labels_file(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no labels file train-labels-idx1-ubyte or "
                                        "train-labels-idx1-ubyte.gz beside it"):
        IdxDataset(tmp_path / "train")


def test_images_file_of_another_name(tmp_path):
    (tmp_path / "pictures").write_bytes(GOOD)
    with pytest.raises(DataError, match="the name of an images file contains 'images'"):
        IdxDataset(tmp_path / "pictures")


def test_missing(tmp_path):
    with pytest.raises(DataError, match="mnist/train not found; .*get_data.py mnist"):
        IdxDataset(str(tmp_path / "mnist" / "train"))
