"""Data sets as LMDB databases, in the form that Caffe's convert_ programs give them."""

import os
import sys
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import reason
from ..proto import caffe_pb2
from .base import check_counts
from .cifar import CifarDataset
from .idx import read_idx
from .lmdb_writer import check_new, lmdb_writer, to_datum
from .pictures import encode, read_picture

JPEG = ("jpg", "jpeg")


def convert_mnist(images_path, labels_path, out):
    """An LMDB of two IDX files, keys "%08d" (convert_mnist_data.cpp); their number."""
    images, labels = read_idx(images_path, (3, 4)), read_idx(labels_path, (1,))
    check_counts(images, labels, f"{images_path} and {labels_path}")
    images = images[:, None] if images.ndim == 3 else images
    with lmdb_writer(out) as put:
        for i, (image, label) in enumerate(zip(images, labels)):
            put(f"{i:08}", to_datum(image, int(label)))
    return len(images)


def convert_cifar(folder, out_folder):
    """LMDBs cifar10_train_lmdb and cifar10_test_lmdb in out_folder (convert_cifar_data.cpp).

    Keys are "%05d", in the order of the files. A folder of CIFAR-100 gives cifar100_..., with the
    fine labels. Returns {path: number of records}.
    """
    name = "cifar100" if (Path(folder) / "train.bin").is_file() else "cifar10"
    sets = {}
    for split in "train", "test":
        data = CifarDataset(folder, split)
        sets[os.path.join(out_folder, f"{name}_{split}_lmdb")] = data
    for path in sets:
        check_new(path)
    try:
        os.makedirs(out_folder, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out_folder}: can't be made: {reason(error)}") from error
    for path, data in sets.items():
        with lmdb_writer(path) as put:
            for i in range(len(data)):
                images, labels = data.read(np.array([i]))
                put(f"{i:05}", to_datum(images[0], int(labels[0])))
    return {path: len(data) for path, data in sets.items()}


def read_list(path):
    """The pairs (file name, label) in a text file: a line each, the label after the last space."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = reason(error) if isinstance(error, OSError) else "it is no text in UTF-8"
        raise DataError(f"{path}: can't be read: {what}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.rstrip().rpartition(" ")
        if not line.strip():
            continue
        try:
            entries.append((name, int(label)))
        except ValueError:
            name = ""
        if not name or not -2**31 <= entries[-1][1] < 2**31:
            raise DataError(f"{path}:{number}: not a file name, a space and a label: {line!r}")
    if not entries:
        raise DataError(f"{path}: names no pictures")
    return entries


def convert_imageset(root, entries, out, *, gray=False, size=None, encoded=False, encode_type="",
                     check_size=False, warn=lambda text: print(text, file=sys.stderr)):
    """An LMDB of picture files, keys "%08d_" and the name (convert_imageset.cpp).

    root goes in front of each name of `entries`, [(name, label)]. size: (height, width) to resize
    to, or None. encoded: store picture files, those given where neither gray, size nor encode_type
    ask for others; encode_type: "png", "jpg" (by default the file's own). A picture that can't be
    read is left out after warn(text), as in Caffe. Returns the number of records.
    """
    count, first = 0, None
    with lmdb_writer(out) as put:
        for i, (name, label) in enumerate(entries):
            path = root + name
            try:
                image = read_picture(path, gray, size)
            except DataError as error:
                warn(f"warning: {error}; left out")
                continue
            first = first or (path, image.shape)
            if check_size and image.shape != first[1]:
                raise DataError(f"{path}: is {_size(image.shape)}, {first[0]} is {_size(first[1])}")
            own = os.path.splitext(name)[1][1:].lower()
            datum = to_datum(image, label)
            if encoded or encode_type:
                plain = not gray and size is None and _same(own, encode_type or own)
                datum = caffe_pb2.Datum(encoded=True, label=label, data=Path(path).read_bytes()
                                        if plain else encode(image, encode_type or own))
            put(f"{i:08}_{name}", datum)
            count += 1
        if not count:
            raise DataError(f"{out}: none of the {len(entries)} pictures could be read")
    return count


def _same(own, wanted):
    """Whether two file name endings mean one format."""
    return own == wanted.lower() or (own in JPEG and wanted.lower() in JPEG)


def _size(shape):
    return " x ".join(map(str, shape))
