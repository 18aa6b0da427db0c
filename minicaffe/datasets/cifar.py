"""The binary version of CIFAR-10 and CIFAR-100: records of label bytes and 3072 pixels."""

import numpy as np

from ..errors import DataError
from ..files import reason
from .base import Dataset, as_slice, resolve

PIXELS = 3 * 32 * 32
# label bytes of a record (the last one counts), number of classes, files by split
KINDS = {
    "CIFAR-10": (1, 10, {"train": [f"data_batch_{i}.bin" for i in range(1, 6)],
                         "test": ["test_batch.bin"]}),
    "CIFAR-100": (2, 100, {"train": ["train.bin"], "test": ["test.bin"]}),
}


class CifarDataset(Dataset):
    """source: the folder with the .bin files, of which `split` chooses, or one .bin file.

    CIFAR-10 and CIFAR-100 are told apart by the names of the files (train.bin and test.bin are
    CIFAR-100, of which the fine label is used). Files are mapped, not read.
    """

    shape = (3, 32, 32)

    def __init__(self, source, split="train"):
        path = resolve(source)
        self.source = str(path)
        kind, files = _find_files(path, split)
        self.parts = [_read_records(file, kind) for file in files]          # each (n, record bytes)
        self.labels = np.concatenate([part[:, -PIXELS - 1] for part in self.parts]).astype(np.int64)
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])

    def __len__(self):
        return len(self.labels)

    def read(self, indices):
        where = as_slice(indices)
        part = int(np.searchsorted(self.starts, indices[0], "right")) - 1
        if isinstance(where, slice) and where.stop <= self.starts[part + 1]:
            start = self.starts[part]
            pixels = self.parts[part][where.start - start:where.stop - start, -PIXELS:]
        else:
            pixels = self._gather(indices)
        return pixels.reshape(-1, *self.shape), self.labels[where]

    def _gather(self, indices):
        """Pixels (n, 3072) of indices in any order, from as many files as they touch."""
        pixels = np.empty((len(indices), PIXELS), np.uint8)
        owner = np.searchsorted(self.starts, indices, "right") - 1
        for part in np.unique(owner):
            mine = owner == part
            pixels[mine] = self.parts[part][indices[mine] - self.starts[part], -PIXELS:]
        return pixels


def _find_files(path, split):
    """The kind of CIFAR and the files that `path` and `split` mean."""
    if path.is_file():
        names = [name for files in KINDS["CIFAR-100"][2].values() for name in files]
        return ("CIFAR-100" if path.name in names else "CIFAR-10"), [path]
    found = {kind: [path / name for names in files.values() for name in names
                    if (path / name).is_file()] for kind, (_, _, files) in KINDS.items()}
    kinds = [kind for kind in KINDS if found[kind]]
    if len(kinds) != 1:
        raise DataError(f"{path}: holds files of both CIFAR-10 and CIFAR-100: name one .bin file"
                        if kinds else f"{path}: holds no .bin files of the binary version of CIFAR")
    names = KINDS[kinds[0]][2][split]
    files = [file for file in found[kinds[0]] if file.name in names]
    if not files:
        raise DataError(f"{path}: holds no {split} files ({', '.join(names)}) of {kinds[0]}")
    return kinds[0], files


def _read_records(path, kind):
    """The records of one file, (n, label bytes + 3072), with their labels checked."""
    label_bytes, classes, _ = KINDS[kind]
    record = label_bytes + PIXELS
    try:
        size = path.stat().st_size
        if size == 0:
            raise DataError(f"{path}: the file is empty")
        if size % record:
            raise DataError(f"{path}: {size} bytes are not a multiple of {kind}'s record of "
                            f"{record}: truncated, or another format")
        records = np.asarray(np.memmap(path, np.uint8, "r")).reshape(-1, record)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {reason(error)}") from error
    labels = records[:, label_bytes - 1]
    if labels.max() >= classes:
        raise DataError(f"{path}: record {labels.argmax()} has label {labels.max()}, "
                        f"{kind} has 0 to {classes - 1}: not a file of {kind}")
    return records
