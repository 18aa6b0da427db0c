"""The stand-in for CuPy's cuBLAS binding: column-major products from addresses, with bounds.

`calls` keeps (name, arguments) of every product. The signatures are those of CuPy's module.
"""

import types

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .state import GUARD, launch, memory_at, refuse_product_in_graph

CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C = 0, 1, 2
CUBLAS_DEFAULT_MATH, CUBLAS_TENSOR_OP_MATH = 0, 1
CUBLAS_POINTER_MODE_HOST, CUBLAS_POINTER_MODE_DEVICE = 0, 1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F = 68, 70
_REAL_TYPES = {0: np.float32, 1: np.float64}          # CUDA_R_32F, CUDA_R_64F

calls = []
_settings = {"math": CUBLAS_DEFAULT_MATH, "pointer": CUBLAS_POINTER_MODE_HOST}


class CUBLASError(RuntimeError):
    """As cupy_backends.cuda.libs.cublas.CUBLASError."""


def reset():
    calls.clear()
    _settings.update(math=CUBLAS_DEFAULT_MATH, pointer=CUBLAS_POINTER_MODE_HOST)


def setMathMode(handle, mode):
    _settings["math"] = mode


def getMathMode(handle):
    return _settings["math"]


def setPointerMode(handle, mode):
    _settings["pointer"] = mode


def getPointerMode(handle):
    return _settings["pointer"]


def _matrices(address, dtype, rows, columns, leading, stride, count):
    """`count` matrices of the device at an address, column by column: (count, rows, columns)."""
    if leading < max(1, rows):
        raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: leading dimension {leading} of a matrix "
                          f"with {rows} rows")
    if 0 in (rows, columns, count):
        return np.empty((count, rows, columns), dtype)
    memory, size = memory_at(address), np.dtype(dtype).itemsize
    if stride < 0:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: negative stride")
    last = (count - 1) * stride + (columns - 1) * leading + rows
    begin = address - memory.start
    if begin + last * size > memory.size or begin % size:
        raise IndexError(f"a product reads {last} numbers from byte {begin} of an array of "
                         f"{memory.size} bytes")
    flat = memory.bytes[GUARD + begin:GUARD + begin + last * size].view(dtype)
    return as_strided(flat, (count, rows, columns), (stride * size, size, leading * size))


def _scalar(address, dtype):
    """alpha or beta, at an address of the host or of the device."""
    if _settings["pointer"] == CUBLAS_POINTER_MODE_HOST:
        import ctypes
        kind = ctypes.c_float if dtype is np.float32 else ctypes.c_double
        return dtype(kind.from_address(address).value)
    return _matrices(address, dtype, 1, 1, 1, 0, 1)[0, 0, 0]


def _product(dtype, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc,
             strideC, count):
    for value in (transa, transb, m, n, k, A, lda, strideA, B, ldb, strideB, C, ldc, strideC, count):
        if not isinstance(value, int):
            raise TypeError(f"an int is wanted, not {value!r}")
    if min(m, n, k, count) < 0:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: negative size")
    a = _matrices(A, dtype, *((m, k) if transa == CUBLAS_OP_N else (k, m)), lda, strideA, count)
    b = _matrices(B, dtype, *((k, n) if transb == CUBLAS_OP_N else (n, k)), ldb, strideB, count)
    c = _matrices(C, dtype, m, n, ldc, strideC, count)
    held = _settings["pointer"] == CUBLAS_POINTER_MODE_HOST
    alpha_value = _scalar(alpha, dtype) if held else None
    beta_value = _scalar(beta, dtype) if held else None

    def work():
        x = a if transa == CUBLAS_OP_N else a.transpose(0, 2, 1)
        y = b if transb == CUBLAS_OP_N else b.transpose(0, 2, 1)
        first = alpha_value if held else _scalar(alpha, dtype)
        second = beta_value if held else _scalar(beta, dtype)
        with np.errstate(all="ignore"):
            result = first * np.matmul(x, y)
            c[...] = result if second == 0 else result + second * c       # beta 0 reads no C

    launch(work)


class Library:
    """libcublas as ctypes sees it, also while a graph is captured: each function returns a status, 0 for success."""

    def __init__(self):
        self.streams, self.workspaces, self.handles = [], [], 0

    def cublasCreate_v2(self, handle):
        handle._obj.value = 1
        self.handles += 1
        return 0

    def cublasDestroy_v2(self, handle):
        self.handles -= 1
        return 0

    def cublasSetStream_v2(self, handle, stream):
        self.streams.append(stream.value)
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        self.workspaces.append((workspace.value, size.value))
        return 0

    def cublasSetMathMode(self, handle, mode):
        return 0

    class _Function:
        """A product; ctypes functions take attributes, as argtypes."""

        def __init__(self, dtype, batched):
            self.dtype, self.batched = dtype, batched

        def __call__(self, handle, *rest):
            if len(rest) != len(self.argtypes) - 1:
                raise TypeError(f"{len(rest) + 1} arguments for {len(self.argtypes)} argtypes")
            if self.batched:
                _product(self.dtype, *rest)
            else:
                *sizes, alpha, a, lda, b, ldb, beta, c, ldc = rest
                _product(self.dtype, *sizes, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)
            return 0

    cublasSgemm_v2 = _Function(np.float32, False)
    cublasDgemm_v2 = _Function(np.float64, False)
    cublasSgemmStridedBatched = _Function(np.float32, True)
    cublasDgemmStridedBatched = _Function(np.float64, True)


def _plain(name, dtype):
    def gemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        refuse_product_in_graph()
        calls.append((name, locals_of(gemm, handle, transa, transb, m, n, k, alpha, A, lda, B, ldb,
                                      beta, C, ldc)))
        _product(dtype, transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc, 0, 1)
    return gemm


def _batched(name, dtype):
    def gemm(handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc,
             strideC, batchCount):
        refuse_product_in_graph()
        calls.append((name, locals_of(gemm, handle, transa, transb, m, n, k, alpha, A, lda, strideA,
                                      B, ldb, strideB, beta, C, ldc, strideC, batchCount)))
        _product(dtype, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C,
                 ldc, strideC, batchCount)
    return gemm


def locals_of(function, *values):
    """{parameter: value}."""
    return dict(zip(function.__code__.co_varnames, values))


def gemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype,
                         ldb, strideB, beta, C, Ctype, ldc, strideC, batchCount, computeType, algo):
    if not Atype == Btype == Ctype or Atype not in _REAL_TYPES:
        raise CUBLASError(f"CUBLAS_STATUS_NOT_SUPPORTED: types {Atype}, {Btype}, {Ctype}")
    refuse_product_in_graph()
    calls.append(("gemmStridedBatchedEx", locals_of(
        gemmStridedBatchedEx, handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B,
        Btype, ldb, strideB, beta, C, Ctype, ldc, strideC, batchCount, computeType, algo)))
    _product(_REAL_TYPES[Atype], transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB,
             beta, C, ldc, strideC, batchCount)


def gemmEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc,
           computeType, algo):
    if not Atype == Btype == Ctype or Atype not in _REAL_TYPES:
        raise CUBLASError(f"CUBLAS_STATUS_NOT_SUPPORTED: types {Atype}, {Btype}, {Ctype}")
    refuse_product_in_graph()
    calls.append(("gemmEx", locals_of(gemmEx, handle, transa, transb, m, n, k, alpha, A, Atype, lda,
                                      B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo)))
    _product(_REAL_TYPES[Atype], transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc,
             0, 1)


sgemm, dgemm = _plain("sgemm", np.float32), _plain("dgemm", np.float64)
sgemmStridedBatched = _batched("sgemmStridedBatched", np.float32)
dgemmStridedBatched = _batched("dgemmStridedBatched", np.float64)


def module():
    """A module of these names, for sys.modules."""
    result = types.ModuleType("cupy_backends.cuda.libs.cublas")
    result.__dict__.update({name: value for name, value in globals().items()
                            if name[0] != "_" and (name.startswith("CUBLAS") or "gemm" in name
                                                   or "Mode" in name)})
    return result
