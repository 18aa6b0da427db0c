import numpy as np
import pytest

from minicaffe.datasets import base, open_dataset
from minicaffe.datasets.npz import NpzDataset
from minicaffe.errors import BackendError, DataError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A working directory, with the checkout elsewhere and no MINICAFFE_DATA."""
    monkeypatch.delenv("MINICAFFE_DATA", raising=False)
    monkeypatch.setattr(base, "checkout", lambda: tmp_path / "checkout")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_resolve_looks_in_working_directory_then_data_then_checkout(places):
    in_checkout = touch(places / "checkout" / "data" / "a")
    assert base.resolve("a") == in_checkout
    in_data = touch(places / "work" / "data" / "a")
    assert base.resolve("a") == in_data
    in_work = touch(places / "work" / "a")
    assert base.resolve("a") == in_work


def test_minicaffe_data_takes_the_place_of_data(places, monkeypatch):
    touch(places / "work" / "data" / "a")
    monkeypatch.setenv("MINICAFFE_DATA", str(places / "elsewhere"))
    with pytest.raises(DataError, match="a not found.*elsewhere/a$"):
        base.resolve("a")
    there = touch(places / "elsewhere" / "a")
    assert base.resolve("a") == there
    assert base.data_folder() == places / "elsewhere"


def test_data_folder_is_in_the_checkout_if_there_is_one(places, monkeypatch):
    assert base.data_folder() == places / "checkout" / "data"
    monkeypatch.setattr(base, "checkout", lambda: None)
    assert base.data_folder().absolute() == places / "work" / "data"


@pytest.mark.parametrize("source, verb", [("mnist/train", "mnist"), ("cifar-10-batches-bin", "cifar10"),
                                          ("cifar-100-binary", "cifar100"), ("svhn", "svhn")])
def test_missing_data_names_the_places_and_the_tool(places, source, verb):
    with pytest.raises(DataError, match=f"work/{source}, .*checkout/data/{source}; `python "
                                        f"tools/get_data.py {verb}`"):
        base.resolve(source)


def test_absolute_source_is_looked_for_only_there(places):
    with pytest.raises(DataError, match="/no/such not found; looked for /no/such$"):
        base.resolve("/no/such")


def test_empty_source():
    with pytest.raises(DataError, match="source is empty"):
        base.resolve("")


@pytest.mark.parametrize("indices, where", [([3, 4, 5], slice(3, 6)), ([7], slice(7, 8))])
def test_consecutive_indices_become_a_slice(indices, where):
    assert base.as_slice(np.array(indices)) == where


@pytest.mark.parametrize("indices", [[4, 0, 1], [1, 1, 2], [2, 1, 0], [0, 2]])
def test_other_indices_stay(indices):
    indices = np.array(indices)
    assert base.as_slice(indices) is indices


def test_contiguous_read_is_a_view(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((5, 2)), y=np.zeros(5))
    data = NpzDataset(tmp_path / "a.npz")
    images, _ = data.read(np.arange(1, 3))
    assert np.shares_memory(images, data.images)


def test_optional_package_that_is_missing():
    with pytest.raises(BackendError, match=r'flying needs the package no_such_package: '
                                           r'pip install "minicaffe\[wings\]"'):
        base.optional("no_such_package.inner", "wings", "flying")


@pytest.mark.parametrize("arguments, match", [
    (("LEVELDB", "db"), "LEVELDB.*not supported: convert the database to LMDB"),
    (("ROCKS", "db"), "backend ROCKS is not known: it is one of IDX, CIFAR"),
    (("IDX", "db", "validation"), "split 'validation' is not known: it is train or test"),
    (("IDX", "db", "train", "gray"), "force_color and force_gray are for encoded pictures in an LMDB")])
def test_open_dataset_refuses(arguments, match):
    with pytest.raises(DataError, match=match):
        open_dataset(*arguments)
