"""The IDX files of MNIST: images in one file, labels in another, plain or .gz."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import reason
from .base import ArrayDataset, check_counts, resolve

PREFIXES = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 8                           # the only element type of these data sets


class IdxDataset(ArrayDataset):
    """Images (N, H, W) or (N, C, H, W) and labels (N,) of bytes.

    source: the images file (`mnist/train-images-idx3-ubyte.gz`), a folder and prefix
    (`mnist/train`), or a folder alone, where `split` chooses between train and t10k.
    """

    def __init__(self, source, split="train"):
        path = resolve(source, lambda place: find_images(place, split))
        labels_path = find_labels(path)
        images, labels = read_idx(path, (3, 4)), read_idx(labels_path, (1,))
        check_counts(images, labels, f"{path} and {labels_path.name}")
        super().__init__(images[:, None] if images.ndim == 3 else images, labels, str(path))


def find_images(place, split):
    """The images file that `place` means (see IdxDataset), or None."""
    if place.is_file():
        return place
    folder, prefix = (place, PREFIXES[split]) if place.is_dir() else (place.parent, place.name)
    names = [f"{prefix}-images{dash}idx{axes}-ubyte{gz}"
             for axes in "34" for dash in "-." for gz in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def find_labels(path):
    """The labels file beside an images file: in its name, `labels` and `idx1` stand instead."""
    name = path.name.removesuffix(".gz")
    if "images" not in name:
        raise DataError(f"{path}: no labels file: the name of an images file contains 'images'")
    name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    other = name.replace(".idx1", "-idx1") if ".idx1" in name else name.replace("-idx1", ".idx1")
    for candidate in (name, name + ".gz", other, other + ".gz"):
        if (path.parent / candidate).is_file():
            return path.parent / candidate
    raise DataError(f"{path}: no labels file {name} or {name}.gz beside it")


def read_idx(path, axes):
    """The byte array of an IDX file, whose number of axes must be one of `axes`.

    A plain file is mapped, not read; a .gz is unpacked whole.
    """
    path = Path(path)
    try:
        if path.suffix == ".gz":
            data = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
        else:
            empty = path.stat().st_size == 0        # which can't be mapped
            data = np.empty(0, np.uint8) if empty else np.asarray(np.memmap(path, np.uint8, "r"))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: truncated or damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {reason(error)}") from error
    shape = _shape(path, data[:20].tobytes(), axes)
    start, size = 4 + 4 * len(shape), int(np.prod(shape, dtype=object))
    if len(data) - start < size:
        raise DataError(f"{path}: truncated: its header {shape} asks for {start + size} bytes, "
                        f"it has {len(data)}")
    if len(data) - start > size:
        raise DataError(f"{path}: {len(data) - start - size} bytes too many after the {size} "
                        f"that its header {shape} asks for")
    return data[start:].reshape(shape)


def _shape(path, head, axes):
    """The sizes in an IDX header: two zero bytes, element type, number of axes, sizes."""
    if len(head) < 4:
        raise DataError(f"{path}: truncated: {len(head)} bytes are not an IDX file"
                        if head else f"{path}: the file is empty")
    if head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTE or head[3] not in axes:
        known = " or ".join(f"{UNSIGNED_BYTE << 8 | n:08x}" for n in axes)
        raise DataError(f"{path}: not an IDX file of this kind: it begins with {head[:4].hex()}, "
                        f"not {known}")
    if len(head) < 4 + 4 * head[3]:
        raise DataError(f"{path}: truncated within its header")
    return struct.unpack(f">{head[3]}I", head[4:4 + 4 * head[3]])
