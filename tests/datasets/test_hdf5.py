import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets.hdf5 import Hdf5Files
from minicaffe.errors import DataError

h5py = pytest.importorskip("h5py")
DATA = np.random.default_rng(0).normal(size=(9, 2, 3))
LABEL = np.arange(9)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


@pytest.fixture
def listing(tmp_path):
    """Three files of 4, 2 and 3 rows, and their listing."""
    for i, rows in enumerate((slice(0, 4), slice(4, 6), slice(6, 9))):
        write(tmp_path / f"{i}.h5", data=DATA[rows], label=LABEL[rows])
    (tmp_path / "list.txt").write_text("0.h5\n1.h5\n\n2.h5\n")
    return tmp_path / "list.txt"


def test_what_it_knows(listing):
    files = Hdf5Files(listing, ["label", "data"])
    assert files.names == ["label", "data"] and files.counts == [4, 2, 3] and len(files) == 9
    assert files.shapes == {"label": (), "data": (2, 3)}
    assert_array_equal(files.arrays(1)["data"], DATA[4:6])


@pytest.mark.parametrize("indices", [[0, 1, 2], [3, 4], [8, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 0], [7, 2, 2, 5]])
def test_reads_any_rows(listing, indices):
    rows = Hdf5Files(listing, ["data", "label"]).read(np.array(indices))
    assert_array_equal(rows["data"], DATA[indices])
    assert_array_equal(rows["label"], LABEL[indices])


def test_paths_relative_to_the_working_directory_come_first(listing, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    write(tmp_path / "work" / "1.h5", data=DATA[:1], label=LABEL[:1])
    monkeypatch.chdir(tmp_path / "work")
    assert Hdf5Files(listing, ["data"]).counts == [4, 1, 3]


@pytest.mark.parametrize("arrays, match", [
    ({"label": LABEL}, "1.h5: no dataset 'data' in it, only label"),
    ({"data": DATA, "label": LABEL[:4]}, "1.h5: the numbers of rows differ: 'data' 9, 'label' 4"),
    ({"data": DATA[:, :1], "label": LABEL}, r"1.h5: a row of 'data' is \(1, 3\), in .*0.h5 \(2, 3\)"),
    ({"data": DATA, "label": 3.0}, r"1.h5: dataset 'label' is \(\) float64, not rows of numbers"),
    ({"data": DATA, "label": np.array([b"a"] * 9)}, "not rows of numbers"),
    ({"data/inner": DATA, "label": LABEL}, "no dataset 'data' in it")])
def test_bad_files(listing, arrays, match):
    write(listing.parent / "1.h5", **arrays)
    with pytest.raises(DataError, match=match):
        Hdf5Files(listing, ["data", "label"])


def test_no_rows(listing):
    write(listing.parent / "0.h5", data=DATA[:0], label=LABEL[:0])
    listing.write_text("0.h5\n")
    with pytest.raises(DataError, match="list.txt: the files listed hold no rows"):
        Hdf5Files(listing, ["data", "label"])


@pytest.mark.parametrize("contents", [b"", b"foreign" * 100, None])
def test_damaged_file(listing, contents):
    path = listing.parent / "1.h5"
    path.write_bytes(path.read_bytes()[:900] if contents is None else contents)
    with pytest.raises(DataError, match="1.h5: not a readable HDF5 file"):
        Hdf5Files(listing, ["data"])


@pytest.mark.parametrize("text, match", [(b"0.h5\nno.h5\n", "list.txt:2: no file no.h5"),
                                         (b"\n", "lists no .h5 files"),
                                         (b"\x89HDF\xff", "not a text file that lists .h5 files")])
def test_bad_listing(listing, text, match):
    listing.write_bytes(text)
    with pytest.raises(DataError, match=match):
        Hdf5Files(listing, ["data"])
