"""What the stand-in for the GPU counts and remembers: memory, launches, copies, streams, graphs."""

import bisect
import contextlib
import threading
import weakref

import numpy as np

GUARD = 256                  # bytes before and after each array that nobody may touch
_PATTERN = 0xFF              # NaN in floats, -1 in integers: what new memory holds
_UNTOUCHED = GUARD * b"\xff"


class Counts:
    """How often the device was asked for something since `reset`."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.launches = 0            # kernels, ufuncs, products, copies on the device
        self.synchronisations = 0    # the host waited for the device
        self.to_device = 0           # copies of host arrays, lists and numbers
        self.to_host = 0
        self.allocations = 0


class Memory:
    """One allocation, with guarded zones on both sides."""

    def __init__(self, size):
        self.size = size
        self.bytes = np.full(size + 2 * GUARD, _PATTERN, np.uint8)
        self.ptr = self.start = self.bytes.ctypes.data + GUARD
        counts.allocations += 1
        with _lock:
            bisect.insort(_starts, self.start)
            _living[self.start] = self

    def __del__(self):
        with _lock:
            _starts.pop(bisect.bisect_left(_starts, self.start))

    def check(self, by):
        """Raise if something wrote before the beginning or beyond the end."""
        for zone, where in ((self.bytes[:GUARD], "before"), (self.bytes[-GUARD:], "beyond")):
            if zone.tobytes() != _UNTOUCHED:
                zone[...] = _PATTERN
                raise IndexError(f"{by} wrote {where} an array of {self.size} bytes")


def memory_at(address):
    """The Memory that an address lies in. Raises IndexError where there is none."""
    with _lock:
        i = bisect.bisect_right(_starts, address) - 1
        memory = _living.get(_starts[i]) if i >= 0 else None
    if memory is None or address > memory.start + memory.size:
        raise IndexError(f"address {address:#x} is in no array of the device")
    return memory


def all_memory():
    """Every allocation in use."""
    return list(_living.values())


# ---- doing things, or recording them in a graph

class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime.CUDARuntimeError."""


class CaptureError(CUDARuntimeError):
    """What CUDA answers to something that can't be done while a graph is captured."""


def launch(work):
    """Do one thing on the device now; while a graph is captured, only note it there."""
    counts.launches += 1
    if graph.current is None:
        work()
    else:
        graph.current.append(work)


def synchronise(what):
    """Note that the host waits."""
    refuse_in_graph(what)
    counts.synchronisations += 1


def refuse_in_graph(what):
    if graph.current is not None:
        raise CaptureError("cudaErrorStreamCaptureUnsupported: operation not permitted when "
                           f"stream is capturing ({what})")


def refuse_copy_in_graph(direction):
    """CuPy does so before it asks CUDA, by a plain RuntimeError."""
    if graph.current is not None:
        raise RuntimeError(f"the current stream is capturing, so {direction} transfers are disallowed")


def refuse_product_in_graph():
    """CuPy's functions do so before they call cuBLAS, which would not: see blas.Library."""
    if graph.current is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently "
                                  "unsupported")


@contextlib.contextmanager
def capturing(nodes):
    """Note what is launched inside in the list `nodes`."""
    graph.current = nodes
    try:
        yield
    finally:
        graph.current = None


class _Graph(threading.local):
    current = None               # a list while this thread captures


_lock = threading.RLock()
_starts = []
_living = weakref.WeakValueDictionary()
counts = Counts()
graph = _Graph()
