"""Blobs that live on a device, seen by tests as NumPy arrays.

Inside `for_tests()` a test that reads or writes blob.data, blob.diff or blob.mask has a NumPy array,
the mirror of the device's memory, and so is the same on every back end; code of the package, and
what it calls, has the device's array. Whatever a test wrote into a mirror is copied to the device
before the package next looks at a blob; whatever the device wrote is copied back when the test
next takes the array from its blob (a name that a test holds from before sees that copy too).
"""

import contextlib
import sys

import numpy as np

from minicaffe import backend
from minicaffe.blob import Blob


class Mirror:
    """The host's copy of one allocation of the device; blobs that share memory share it."""

    def __init__(self, array):
        self.memory = array.data.mem                     # held: its address is not given away
        cupy = backend.module_of(array)
        pointer = array.data + (self.memory.ptr - array.data.ptr)
        self.device = cupy.ndarray((self.memory.size,), np.uint8, pointer)
        self.host = self.device.get()
        self.known = self.host.copy()                    # what both hold since the last copy

    def push(self):
        """What the test wrote goes to the device."""
        if self.host.tobytes() != self.known.tobytes():
            self.device.set(self.host)
            self.known[...] = self.host

    def pull(self):
        """What the device holds now goes where the test sees it."""
        self.host[...] = self.known[...] = self.device.get()

    def view(self, array):
        begin = array.data.ptr - self.memory.ptr
        return self.host[begin:begin + array.nbytes].view(array.dtype).reshape(array.shape)


class Mirrors:
    """All mirrors of one test."""

    def __init__(self):
        self._of = {}                                    # address -> Mirror
        self._touched = False                            # a test may have written since the last push

    def see(self, array):
        """The mirror of a device array, up to date."""
        self.push()
        if array.size == 0:
            return array.get()
        mirror = self._of.get(array.data.mem.ptr)
        if mirror is None:
            mirror = self._of[array.data.mem.ptr] = Mirror(array)
        mirror.pull()
        self._touched = True
        return mirror.view(array)

    def push(self):
        if self._touched:
            self._touched = False
            for mirror in self._of.values():
                mirror.push()

    def property(self, original):
        """The property of Blob `original`, for tests a NumPy array."""
        def get(blob):
            if blob.xp is np:
                return original.fget(blob)
            if not _called_by_a_test():
                self.push()
                return original.fget(blob)
            return self.see(original.fget(blob))

        def set_(blob, values):
            if blob.xp is not np and _called_by_a_test():
                self.push()
                own = self._of.get(original.fget(blob).data.mem.ptr)
                if own is not None and isinstance(values, np.ndarray) \
                        and np.may_share_memory(own.host, values):
                    return                               # `blob.data += x` has written it
            original.fset(blob, values)

        return property(get, set_, doc=original.__doc__)


def _mask_property(original):
    def get(blob):
        mask = original.fget(blob)
        return mask if mask is None or not _called_by_a_test() else backend.to_numpy(mask)
    return property(get, original.fset)


def _called_by_a_test():
    """Whether no function of the package is among the callers."""
    frame = sys._getframe(2)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == "minicaffe":
            return False
        if package in ("_pytest", "pluggy"):
            return True
        frame = frame.f_back
    return True


@contextlib.contextmanager
def for_tests():
    """Within the block tests see the blobs of a device as NumPy arrays."""
    mirrors, originals = Mirrors(), {name: vars(Blob)[name] for name in ("data", "diff", "mask")}
    for name in "data", "diff":
        setattr(Blob, name, mirrors.property(originals[name]))
    Blob.mask = _mask_property(originals["mask"])
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Blob, name, original)
