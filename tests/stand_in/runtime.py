"""cupy.cuda's stand-in: one device, streams and events that do everything at once, graphs."""

import contextlib
import time
import types

from . import state
from .arrays import MemoryPointer
from .kernels import CompileException
from .state import CaptureError, CUDARuntimeError, Memory, counts

device_count = 1                  # tests set it
failure = None                    # what getDeviceCount raises, if anything


class CUDADriverError(RuntimeError):
    """As cupy.cuda.driver.CUDADriverError."""


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError: made of the bytes asked for and those taken."""

    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
                         + (f", limit set to: {limit:,} bytes)." if limit else ")."))


class Device:
    """cupy.cuda.Device."""

    def __init__(self, device=None):
        self.id = 0 if device is None else device
        if not 0 <= self.id < device_count:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        return None

    def synchronize(self):
        state.synchronise("a wait for the device")

    @property
    def mem_info(self):
        return 139 << 30, 140 << 30

    @property
    def compute_capability(self):
        return "90"

    @property
    def attributes(self):
        return {"MultiProcessorCount": 132, "ClockRate": 1980000, "MemoryClockRate": 3201000,
                "GlobalMemoryBusWidth": 6144}


class Event:
    """cupy.cuda.Event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._time = None

    def record(self, stream=None):
        self._time = time.perf_counter()

    def synchronize(self):
        state.synchronise("a wait for an event")

    @property
    def done(self):
        return True


def get_elapsed_time(start_event, end_event):
    return 1000 * (end_event._time - start_event._time)


class Graph:
    """cupy.cuda.Graph: what was captured, to be done again."""

    def __init__(self, nodes):
        self._nodes = nodes

    def launch(self, stream=None):
        if state.graph.current is not None:
            raise CaptureError("a graph in a graph is not known to the stand-in")
        counts.launches += 1
        for work in self._nodes:
            work()

    def upload(self, stream=None):
        pass


class Stream:
    """cupy.cuda.Stream."""

    null = None
    ptr = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self._is_null = null
        self._nodes = None

    def __enter__(self):
        _current.append(self)
        return self

    def __exit__(self, *problem):
        _current.pop()

    def use(self):
        _current[-1] = self
        return self

    def synchronize(self):
        state.synchronise("a wait for a stream")

    @property
    def done(self):
        return True

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        pass

    def begin_capture(self, mode=None):
        if self._is_null:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted "
                                   "on the legacy stream")
        if state.graph.current is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is capturing")
        self._nodes = state.graph.current = []

    def end_capture(self):
        if state.graph.current is None or state.graph.current is not self._nodes:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not capturing")
        state.graph.current = None
        return Graph(self._nodes)

    def is_capturing(self):
        return state.graph.current is not None and state.graph.current is self._nodes


Stream.null = Stream(null=True)
_current = [Stream.null]


def get_current_stream(device_id=-1):
    return _current[-1]


class PinnedMemoryPointer(bytearray):
    """cupy.cuda.PinnedMemoryPointer: a buffer of the host."""

    @property
    def ptr(self):
        import ctypes
        return ctypes.addressof(ctypes.c_char.from_buffer(self))


def alloc_pinned_memory(size):
    return PinnedMemoryPointer(size)


class MemoryPool:
    """cupy.cuda.MemoryPool."""

    def __init__(self, allocator=None):
        self._limit = 0

    def malloc(self, size):
        return MemoryPointer(Memory(size), 0)

    def free_all_blocks(self, stream=None):
        pass

    def used_bytes(self):
        return sum(memory.size for memory in state.all_memory())

    def total_bytes(self):
        return self.used_bytes()

    def set_limit(self, size=None, fraction=None):
        self._limit = size or 0

    def get_limit(self):
        return self._limit


class PinnedMemoryPool:
    """cupy.cuda.PinnedMemoryPool."""

    def free_all_blocks(self):
        pass


default_pool, default_pinned_pool = MemoryPool(), PinnedMemoryPool()


@contextlib.contextmanager
def using_allocator(allocator=None):
    yield


def set_allocator(allocator=None):
    pass


def _get_device_count():
    if failure is not None:
        raise CUDARuntimeError(failure)
    return device_count


def module():
    """cupy.cuda."""
    cuda = types.ModuleType("cupy.cuda")
    cuda.runtime = types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError, getDeviceCount=_get_device_count, free=lambda ptr: None,
        getDevice=lambda: 0, deviceSynchronize=lambda: state.synchronise("a wait for the device"),
        getDeviceProperties=lambda device: {"name": b"Stand-in", "multiProcessorCount": 132,
                                            "major": 9, "minor": 0},
        memGetInfo=lambda: (139 << 30, 140 << 30), runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 13000, streamCaptureModeGlobal=0, streamCaptureModeThreadLocal=1,
        streamCaptureModeRelaxed=2)
    cuda.driver = types.SimpleNamespace(CUDADriverError=CUDADriverError)
    cuda.compiler = types.SimpleNamespace(CompileException=CompileException)
    cuda.memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    cuda.device = types.SimpleNamespace(get_cublas_handle=lambda: 1, Device=Device)
    for thing in (Device, Event, Graph, Stream, MemoryPool, MemoryPointer, PinnedMemoryPool,
                  PinnedMemoryPointer, get_elapsed_time, get_current_stream, alloc_pinned_memory,
                  using_allocator, set_allocator):
        setattr(cuda, thing.__name__, thing)
    return cuda
