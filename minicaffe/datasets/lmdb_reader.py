"""Caffe's LMDB databases of Datum records."""

import io
import os
import weakref

import numpy as np
from google.protobuf.message import DecodeError

from ..errors import DataError
from ..proto import caffe_pb2
from .base import Dataset, optional, resolve

_open = {}          # real path -> [environment, users]: LMDB opens a database once in a process


class LmdbDataset(Dataset):
    """Records in the order of their keys; reading on in that order is the fast way.

    source: the folder with data.mdb, or the file itself. A Datum holds bytes in `data`, numbers in
    `float_data`, or, if `encoded`, a picture file in `data`, which is decoded with Pillow to
    Caffe's channel order (blue, green, red). color: "color" or "gray" decodes to 3 or 1 channels,
    None to what the file has.
    """

    def __init__(self, source, split="train", color=None):
        path = resolve(source)
        self.source, self.color = str(path), color
        environment = self._acquire(path)
        self.count = environment.stat()["entries"]
        if self.count == 0:
            raise DataError(f"{path}: the database is empty")
        self.cursor = environment.begin(buffers=True).cursor()
        self.next, self.keys = None, None           # index after the cursor's; all keys, if needed
        image, _ = self._record(0)
        self.shape, self.dtype = image.shape, image.dtype

    def __len__(self):
        return self.count

    def read(self, indices):
        images = np.empty((len(indices), *self.shape), self.dtype)
        labels = np.empty(len(indices), np.int64)
        for i, index in enumerate(indices):
            image, labels[i] = self._record(int(index))
            if image.shape != self.shape or image.dtype != self.dtype:
                raise DataError(f"{self.source}: record {index} is {image.shape} {image.dtype}, "
                                f"the first one {self.shape} {self.dtype}")
            images[i] = image
        return images, labels

    def close(self):
        self._released()

    def _acquire(self, path):
        """The environment of a database, opened once for all who use it."""
        lmdb, key = optional("lmdb", "lmdb", "reading an LMDB"), os.path.realpath(path)
        if key not in _open:
            try:
                environment = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir())
            except lmdb.Error as error:
                raise DataError(f"{path}: not an LMDB database: {error}") from error
            _check_size(environment, path)
            _open[key] = [environment, 0]
        _open[key][1] += 1
        self._released = weakref.finalize(self, _release, key)
        self._released.atexit = False
        return _open[key][0]

    def _record(self, index):
        """Image (C, H, W) and label of one record."""
        if index == self.next:
            self.cursor.next()
        elif index == 0:
            self.cursor.first()
        else:
            if self.keys is None:
                self.keys = [bytes(key) for key in self.cursor.iternext(values=False)] \
                    if self.cursor.first() else []
            self.cursor.set_key(self.keys[index])
        self.next = index + 1
        try:
            datum = caffe_pb2.Datum.FromString(bytes(self.cursor.value()))
            return self._image(datum, index), datum.label
        except DecodeError as error:
            raise DataError(f"{self.source}: record {index} is not a Datum of Caffe") from error

    def _image(self, datum, index):
        if datum.encoded:
            return self._decode(datum.data, index)
        shape = datum.channels, datum.height, datum.width
        if datum.data:
            image = np.frombuffer(datum.data, np.uint8)
        else:
            image = np.array(datum.float_data, np.float32)
        if image.size != np.prod(shape) or image.size == 0:
            raise DataError(f"{self.source}: record {index} is not a Datum of Caffe: "
                            f"it says {shape} and holds {image.size} values")
        return image.reshape(shape)

    def _decode(self, data, index):
        Image = optional("PIL.Image", "image", "encoded pictures in an LMDB")
        try:
            with Image.open(io.BytesIO(data)) as picture:
                stored = "L" if picture.mode in "1L" else "RGB"
                mode = {"color": "RGB", "gray": "L", None: stored}[self.color]
                pixels = np.asarray(picture.convert(mode), np.uint8)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.source}: record {index}: the picture can't be decoded: "
                            f"{error}") from error
        return pixels[None] if mode == "L" else pixels[:, :, ::-1].transpose(2, 0, 1)


def _check_size(environment, path):
    """Refuse a file that ends before its last page: reading beyond the end kills the process."""
    file = path / "data.mdb" if path.is_dir() else path
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = file.stat().st_size
    if size < needed:
        environment.close()
        raise DataError(f"{path}: truncated: the database has {needed} bytes, the file {size}")


def _release(key):
    """Count one user of a database less; with the last one it is closed."""
    _open[key][1] -= 1
    if _open[key][1] == 0:
        _open.pop(key)[0].close()
