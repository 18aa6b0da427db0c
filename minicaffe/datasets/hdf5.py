"""The HDF5 files that HDF5Data reads."""

import os

import numpy as np

from ..errors import DataError
from ..files import reason
from .base import optional, resolve


class Hdf5Files:
    """Rows of named arrays, spread over the .h5 files that a text file lists, one path a line.

    A path is relative to the working directory or, failing that, to the listing. The arrays
    `names` have the same number of rows within a file and the same shape of a row in all files.

    counts: rows by file. shapes: shape of one row by name. One file is held in memory at a time.
    """

    def __init__(self, source, names):
        listing = resolve(source)
        self.source, self.names = str(listing), list(names)
        self.h5py = optional("h5py", "hdf5", "reading HDF5 files")
        self.files = _listed(listing)
        heads = [self._head(file) for file in self.files]
        self.counts = [count for count, _ in heads]
        self.shapes = heads[0][1]
        for file, (_, shapes) in zip(self.files, heads):
            for name in self.names:
                if shapes[name] != self.shapes[name]:
                    raise DataError(f"{file}: a row of '{name}' is {shapes[name]}, "
                                    f"in {self.files[0]} {self.shapes[name]}")
        if len(self) == 0:
            raise DataError(f"{self.source}: the files listed hold no rows")
        self.starts = np.cumsum([0] + self.counts)
        self._loaded = (None, None)             # file number, its arrays

    def __len__(self):
        return sum(self.counts)

    def arrays(self, file_number):
        """The arrays of one file by name."""
        if self._loaded[0] != file_number:
            with self._opened(self.files[file_number]) as file:
                self._loaded = file_number, {name: file[name][()] for name in self.names}
        return self._loaded[1]

    def read(self, indices):
        """The rows of an int64 array of indices, an array by name; counted through all files."""
        owner = np.searchsorted(self.starts, indices, "right") - 1
        parts = []
        for run in np.split(np.arange(len(indices)), np.flatnonzero(np.diff(owner)) + 1):
            number = owner[run[0]]
            rows = indices[run] - self.starts[number]
            parts.append([self.arrays(number)[name][rows] for name in self.names])
        return {name: np.concatenate(columns) for name, columns in zip(self.names, zip(*parts))}

    def close(self):
        """Nothing stays open between reads."""

    def _opened(self, path):
        try:
            return self.h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"{path}: not a readable HDF5 file: {error}") from error

    def _head(self, path):
        """Number of rows, and the shape of one row by name, of a file."""
        with self._opened(path) as file:
            for name in self.names:
                data = file.get(name)
                if not isinstance(data, self.h5py.Dataset):
                    raise DataError(f"{path}: no dataset '{name}' in it, "
                                    f"only {', '.join(file) or 'nothing'}")
                if not data.shape or data.dtype.kind not in "biuf":
                    raise DataError(f"{path}: dataset '{name}' is {data.shape} {data.dtype}, "
                                    "not rows of numbers")
            counts = {name: len(file[name]) for name in self.names}
            if len(set(counts.values())) > 1:
                raise DataError(f"{path}: the numbers of rows differ: "
                                + ", ".join(f"'{name}' {count}" for name, count in counts.items()))
            return counts[self.names[0]], {name: file[name].shape[1:] for name in self.names}


def _listed(listing):
    """The paths in a listing that exist."""
    try:
        lines = [line.strip() for line in listing.read_text().splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{listing}: not a text file that lists .h5 files, one a line") from error
    except OSError as error:
        raise DataError(f"{listing}: can't be read: {reason(error)}") from error
    paths = []
    for number, line in enumerate(lines, 1):
        if line:
            found = [p for p in (line, os.path.join(listing.parent, line)) if os.path.isfile(p)]
            if not found:
                raise DataError(f"{listing}:{number}: no file {line}")
            paths.append(found[0])
    if not paths:
        raise DataError(f"{listing}: lists no .h5 files")
    return paths
