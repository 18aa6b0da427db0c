"""Writing LMDB databases of Datum records, whole or not at all."""

import contextlib
import os
import shutil

from ..errors import DataError
from ..files import reason
from ..proto import caffe_pb2
from .base import optional

BATCH = 1000                        # records a transaction, as in Caffe's programs
FIRST_SIZE = 1 << 24                # bytes of the map; doubled whenever it is full


@contextlib.contextmanager
def lmdb_writer(path):
    """`put(key, datum)` for a new database, a folder at `path`, which is there when the block ends.

    The records go to a folder beside it, which is renamed at the end and removed after an error.
    Keys must be new, and are kept in order of bytes. Raises DataError where `path` exists.
    """
    lmdb, path = optional("lmdb", "lmdb", "writing an LMDB"), os.fspath(path).rstrip("/")
    check_new(path)
    temporary = f"{path}.{os.getpid()}.part"
    try:
        # without a lock file: on a full disk, the map of one kills the program (SIGBUS)
        environment = lmdb.open(temporary, map_size=FIRST_SIZE, lock=False)
    except (lmdb.Error, OSError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(f"{path}: can't be written: {_words(error)}") from error
    writer = _Writer(lmdb, environment, path)
    try:
        yield writer.put
        writer.flush()
        environment.sync(True)
        environment.close()
        check_new(path)
        os.rename(temporary, path)
    except BaseException as error:
        environment.close()
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, (lmdb.Error, OSError)):
            raise DataError(f"{path}: can't be written: {_words(error)}") from error
        raise


def check_new(path):
    """Raise DataError if there is something at `path`."""
    if os.path.lexists(path):
        raise DataError(f"{path}: exists already; remove it or choose another name")


def _words(error):
    return reason(error) if isinstance(error, OSError) else str(error).split(": ")[-1].lower()


class _Writer:
    """Records waiting for the next transaction."""

    def __init__(self, lmdb, environment, path):
        self.lmdb, self.environment, self.path, self.waiting = lmdb, environment, path, []

    def put(self, key, datum):
        """Add a record: key a str, datum a Datum."""
        self.waiting.append((key.encode(), datum.SerializeToString()))
        if len(self.waiting) == BATCH:
            self.flush()

    def flush(self):
        """Write what is waiting in one transaction, in a map large enough."""
        while True:
            try:
                with self.environment.begin(write=True) as transaction:
                    for key, value in self.waiting:
                        if not transaction.put(key, value, overwrite=False):
                            raise DataError(f"{self.path}: two records have the key {key.decode()}")
                self.waiting.clear()
                return
            except self.lmdb.MapFullError:
                self.environment.set_mapsize(2 * self.environment.info()["map_size"])
            except self.lmdb.BadValsizeError as error:
                longest = max((key for key, _ in self.waiting), key=len)
                most = self.environment.max_key_size()
                raise DataError(f"{self.path}: the key {longest.decode()} has {len(longest)} "
                                f"bytes, LMDB takes {most}") from error


def to_datum(image, label):
    """The Datum of a uint8 image (C, H, W) and its label."""
    channels, height, width = image.shape
    return caffe_pb2.Datum(channels=channels, height=height, width=width, data=image.tobytes(),
                           label=label)
