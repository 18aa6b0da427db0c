import os
import stat

import pytest

from minicaffe.errors import Error, FileError
from minicaffe.files import atomic_write, reason


def test_the_file_is_there_when_the_block_ends(tmp_path):
    path = tmp_path / "a"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Error])
def test_an_interruption_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(error):
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error("in between")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_text_mode(tmp_path):
    with atomic_write(str(tmp_path / "a"), "w") as file:
        file.write("text")
    assert (tmp_path / "a").read_text() == "text"


def test_the_file_has_the_permissions_of_any_new_one(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "a"):
        pass
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == \
        stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match="missing/a: can't be written: no such file or directory"):
        with atomic_write(tmp_path / "missing" / "a"):
            pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="folder: can't be written: is a directory"):
        with atomic_write(tmp_path / "folder"):
            pass
    assert os.listdir(tmp_path) == ["folder"]


def test_reason_is_the_system_s_words():
    assert reason(FileNotFoundError(2, "No such file or directory", "x")) == \
        "no such file or directory"
    assert reason(OSError("Odd")) == "odd"
