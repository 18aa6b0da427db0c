"""Room for a batch on its way to the net: plain arrays, or pinned ones that the GPU copies from."""

import weakref

import numpy as np

from .. import backend


def make_staging(xp, shapes, dtype):
    """Staging of a batch, arrays of these shapes, for blobs of the array module xp."""
    return Staging(shapes, dtype) if xp is np else DeviceStaging(xp, shapes, dtype)


class Staging:
    """A batch in the host's memory: `fill` in the prefetching thread, `give` in the net's."""

    def __init__(self, shapes, dtype):
        self.arrays = [np.empty(shape, dtype) for shape in shapes]

    def fill(self, write, k):
        """Call write(k, arrays), which writes batch k."""
        write(k, self.arrays)

    def give(self, blobs):
        """Copy the batch into the blobs' data."""
        for blob, array in zip(blobs, self.arrays):
            blob.data = array


class DeviceStaging:
    """A batch in pinned memory, copied to the device by the prefetching thread, on its own stream.

    The thread starts the copy and goes on to the next batch; the net's stream waits for the copy
    by an event, and the thread's next copy in the same way until the net has taken this one. Only
    the thread ever waits itself, before it writes to pinned memory that may still be read.
    """

    def __init__(self, xp, shapes, dtype):
        self.arrays = [backend.pinned_empty(shape, dtype) for shape in shapes]
        self.on_device = [xp.empty(shape, dtype) for shape in shapes]
        self.device = backend.device_id()
        self.stream = backend.new_stream()
        self.sent, self.taken = backend.new_event(), backend.new_event()
        # the pool may have given memory whose last use the device has yet to come to
        backend.current_stream().record(self.taken)
        # and gives it away once these arrays are dropped: not while a copy is on its way
        weakref.finalize(self, _wait_for, self.sent).atexit = False

    def fill(self, write, k):
        """Call write(k, arrays), which writes batch k, and start its copy."""
        backend.use_device(self.device)         # a thread begins with the first one
        _wait_for(self.sent)
        write(k, self.arrays)
        self.stream.wait_event(self.taken)
        for source, target in zip(self.arrays, self.on_device):
            target.set(source, self.stream)
        self.stream.record(self.sent)

    def give(self, blobs):
        """Copy the batch into the blobs' data once it is on the device; the host doesn't wait."""
        backend.current_stream().wait_event(self.sent)
        for blob, array in zip(blobs, self.on_device):
            blob.data = array
        backend.current_stream().record(self.taken)


def _wait_for(event):
    """Let the calling thread sleep until the event is done."""
    if not event.done:
        event.synchronize()
