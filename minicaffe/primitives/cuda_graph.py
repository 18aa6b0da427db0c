"""CUDA graphs: work recorded once on a stream of its own, replayed with one launch.

CuPy's own cuBLAS functions refuse to run while a stream is captured. cuBLAS itself does not, so
products are called here in the library that CuPy has loaded, with a handle and a workspace that
belong to the recording.
"""

import contextlib
import ctypes
import weakref

from .. import backend
from ..errors import BackendError

_WORKSPACE = {True: 32 << 20, False: 4 << 20}     # bytes; by compute capability 9 and up: NVIDIA's
_FACTORS = [ctypes.c_void_p, ctypes.c_int]        # a pointer and a leading dimension
_STRIDED = [*_FACTORS, ctypes.c_longlong]
_SIZES = [ctypes.c_void_p] + 5 * [ctypes.c_int]   # handle, operations, sizes


class Recorder:
    """Where functions can be captured: a stream, a memory pool and cuBLAS products of their own.

    Memory that captured work uses must stay its own as long as the graph is replayed: the pool is
    kept here, and nothing else allocates from it.
    """

    def __init__(self):
        cupy = backend.xp()
        self.stream, self.pool = backend.new_stream(), cupy.cuda.MemoryPool()
        self.products = None

    def run(self, function):
        """Run it as it will be captured, but at once; the host waits for its end."""
        with self._place():
            function()
        self.stream.synchronize()

    def capture(self, function):
        """The graph of what function() launches, which is not run; graph.launch() runs it."""
        with self._place():
            self.stream.begin_capture()
            try:
                function()
            except BaseException:
                with contextlib.suppress(*backend.device_errors()):
                    self.stream.end_capture()
                raise
            return self.stream.end_capture()

    @contextlib.contextmanager
    def _place(self):
        cupy = backend.xp()
        if self.products is None:
            self.products = Products(cupy)
        backend.synchronize()
        with cupy.cuda.using_allocator(self.pool.malloc), self.stream:
            self.products.use(self.stream)
            with backend.products_by(self.products, self.products.handle):
                yield


class Products:
    """cuBLAS functions by the names and with the arguments of CuPy's binding, past its refusal."""

    def __init__(self, cupy):
        self.library = load_library()
        self.handle = ctypes.c_void_p()
        self._functions = {}
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        weakref.finalize(self, self.library.cublasDestroy_v2, self.handle).atexit = False
        new = int(cupy.cuda.Device(backend.device_id()).compute_capability) >= 90
        self.workspace = cupy.empty(_WORKSPACE[new], "u1")
        self._call("cublasSetMathMode", self.handle, 3 if backend.tf32_wanted() else 0)

    def use(self, stream):
        """Let the products run on this stream."""
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(stream.ptr))
        self._call("cublasSetWorkspace_v2", self.handle, ctypes.c_void_p(self.workspace.data.ptr),
                   ctypes.c_size_t(self.workspace.nbytes))

    def sgemm(self, *arguments):
        """cublasSgemm: handle, operations, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc."""
        self._product("cublasSgemm_v2", False, arguments)

    def dgemm(self, *arguments):
        """cublasDgemm, as sgemm."""
        self._product("cublasDgemm_v2", False, arguments)

    def sgemmStridedBatched(self, *arguments):
        """cublasSgemmStridedBatched: a stride after each leading dimension, at the end the count."""
        self._product("cublasSgemmStridedBatched", True, arguments)

    def dgemmStridedBatched(self, *arguments):
        """cublasDgemmStridedBatched, as sgemmStridedBatched."""
        self._product("cublasDgemmStridedBatched", True, arguments)

    def _product(self, name, batched, arguments):
        if name not in self._functions:
            function, matrix = getattr(self.library, name), _STRIDED if batched else _FACTORS
            function.argtypes = [*_SIZES, ctypes.c_void_p, *matrix, *matrix, ctypes.c_void_p,
                                 *matrix, *([ctypes.c_int] if batched else [])]
            self._functions[name] = function
        self._check(name, self._functions[name](*arguments))

    def _call(self, name, *arguments):
        self._check(name, getattr(self.library, name)(*arguments))

    def _check(self, name, status):
        if status:
            raise BackendError(f"GPU {backend.device_id()}: {name} failed with status {status}")


def load_library():
    """The cuBLAS library that CuPy has loaded into this process."""
    backend.cublas()                              # loads it
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "/libcublas.so" in path:
                return ctypes.CDLL(path)
    raise BackendError("a CUDA graph needs cuBLAS, whose library is not found among those that this "
                       "process has loaded")
