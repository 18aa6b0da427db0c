import gc
import io
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets.lmdb_reader import LmdbDataset, _open
from minicaffe.errors import BackendError, DataError
from minicaffe.proto import caffe_pb2

lmdb = pytest.importorskip("lmdb")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), np.uint8)


def datum(image, label=0, **more):
    channels, height, width = image.shape
    values = {"data": image.tobytes()} if image.dtype == np.uint8 else {"float_data": image.ravel()}
    return caffe_pb2.Datum(channels=channels, height=height, width=width, label=label, **values, **more)


def write(path, records, subdir=True):
    """A database of Datum messages or bytes, written in reverse order under keys like Caffe's."""
    environment = lmdb.open(str(path), map_size=1 << 22, subdir=subdir)
    with environment.begin(write=True) as transaction:
        for i, record in reversed(list(enumerate(records))):
            value = record if isinstance(record, bytes) else record.SerializeToString()
            transaction.put(b"%08d" % i, value)
    environment.close()
    return path


@pytest.fixture
def database(tmp_path):
    return write(tmp_path / "db", [datum(image, label) for label, image in enumerate(IMAGES)])


@pytest.mark.parametrize("batches", [[[0, 1, 2], [3, 4, 5], [0, 1]], [[4, 5, 0, 1]], [[3], [1], [5, 2], [3, 4]],
                                     [[0, 0, 1, 1]]])
def test_reads_in_key_order_and_any_order(database, batches):
    data = LmdbDataset(database)
    assert len(data) == 6 and data.shape == (3, 4, 5)
    for indices in batches:
        images, labels = data.read(np.array(indices))
        assert_array_equal(images, IMAGES[indices])
        assert_array_equal(labels, indices)
        assert images.dtype == np.uint8 and labels.dtype == np.int64


def test_single_file_and_float_data(tmp_path):
    floats = IMAGES / np.float32(7)
    write(tmp_path / "db.mdb", [datum(image) for image in floats], subdir=False)
    images, _ = LmdbDataset(tmp_path / "db.mdb").read(np.arange(6))
    assert images.dtype == np.float32
    assert_array_equal(images, floats)


def test_two_users_of_one_database(database):
    first, second = LmdbDataset(database), LmdbDataset(database)
    first.close()
    first.close()
    assert_array_equal(second.read(np.arange(6))[0], IMAGES)
    del second
    gc.collect()
    assert not _open


@pytest.mark.parametrize("mode, color, expected", [
    ("RGB", None, [[30], [20], [10]]), ("RGB", "gray", [[18]]), ("L", None, [[10]]),
    ("L", "color", [[10], [10], [10]])])
def test_encoded_pictures_come_as_blue_green_red(tmp_path, mode, color, expected):
    Image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    Image.new(mode, (5, 4), (10, 20, 30)[:len(mode)] if mode == "RGB" else 10).save(file, "PNG")
    write(tmp_path / "db", [caffe_pb2.Datum(data=file.getvalue(), encoded=True, label=3)])
    images, labels = LmdbDataset(tmp_path / "db", color=color).read(np.array([0, 0]))
    assert_array_equal(images, np.broadcast_to(np.array(expected)[None, :, :, None], (2, len(expected), 4, 5)))
    assert_array_equal(labels, [3, 3])


GOOD = datum(IMAGES[0])


@pytest.mark.parametrize("records, match", [
    ([], "the database is empty"),
    ([b"foreign record"], "record 0 is not a Datum of Caffe"),
    ([b""], r"record 0 is not a Datum of Caffe: it says \(0, 0, 0\) and holds 0 values"),
    ([GOOD.SerializeToString()[:-30]], "record 0 is not a Datum of Caffe"),
    ([caffe_pb2.Datum(channels=3, height=4, width=6, data=b"12")], r".*says \(3, 4, 6\) and holds 2 values"),
    ([GOOD, datum(IMAGES[0][:, :3])], r"record 1 is \(3, 3, 5\) uint8, the first one \(3, 4, 5\) uint8"),
    ([GOOD, datum(IMAGES[0].astype(np.float32))], r"record 1 is \(3, 4, 5\) float32, the first one .* uint8")])
def test_bad_records(tmp_path, records, match):
    write(tmp_path / "db", records)
    with pytest.raises(DataError, match=f"db: {match}"):
        LmdbDataset(tmp_path / "db").read(np.arange(2))
    gc.collect()
    assert not _open


def test_undecodable_picture(tmp_path):
    pytest.importorskip("PIL")
    write(tmp_path / "db", [caffe_pb2.Datum(data=b"no picture", encoded=True)])
    with pytest.raises(DataError, match="record 0: the picture can't be decoded"):
        LmdbDataset(tmp_path / "db")


@pytest.mark.parametrize("contents", [None, b"", b"foreign" * 2000])
def test_not_a_database(tmp_path, contents):
    if contents is not None:
        (tmp_path / "data.mdb").write_bytes(contents)
    with pytest.raises(DataError, match="not an LMDB database"):
        LmdbDataset(tmp_path)


def test_missing_database(tmp_path):
    with pytest.raises(DataError, match="nowhere not found"):
        LmdbDataset(str(tmp_path / "nowhere"))


def test_without_the_package(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(BackendError, match=r'reading an LMDB needs the package lmdb: '
                                           r'pip install "minicaffe\[lmdb\]"'):
        LmdbDataset(database)
