"""The array module that layers compute with (NumPy or CuPy), devices, kernels, copies.

Everything outside this file asks here for `xp`; nothing else imports CuPy, which is loaded when
the GPU is first asked for. The GPU is never left silently: what can't run there raises
BackendError.
"""

import contextlib
import importlib
import math
import os
import re
import warnings

import numpy

from .errors import BackendError

_mode = "cpu"
_device = 0                      # the GPU that set_mode_gpu turns on
_cupy = None                     # the module, once loaded
_products = None                 # (cuBLAS binding or None, its handle), see cublas
_other_products = None           # the like, within products_by


# ---- modes

def xp():
    """The array module of the current mode: numpy or cupy."""
    return numpy if _mode == "cpu" else _cupy


def mode():
    """The current mode, "cpu" or "gpu"."""
    return _mode


def set_mode_cpu():
    """Compute with NumPy (pycaffe's name); nets that exist keep the mode they were made in."""
    global _mode
    _mode = "cpu"


def set_mode_gpu():
    """Compute with CuPy (pycaffe's name), on the device that set_device named or the first one.

    Raises BackendError where CuPy isn't installed or there is no such device.
    """
    global _mode
    _open_device(_device)
    _mode = "gpu"


def set_device(device_id):
    """Choose the GPU by its number and compute on it (pycaffe's name). Raises as set_mode_gpu."""
    global _device
    _open_device(device_id)
    _device = device_id
    set_mode_gpu()


def choose(device, solver_param=None):
    """The command line's --gpu: "cpu", or the number of a GPU; goes before the solver's own mode."""
    if device == "cpu":
        set_mode_cpu()
        if solver_param is not None:
            solver_param.solver_mode = solver_param.CPU
    elif device.isdecimal():
        set_device(int(device))
        if solver_param is not None:
            solver_param.solver_mode, solver_param.device_id = solver_param.GPU, int(device)
    else:
        raise BackendError(f"--gpu {device}: must be the number of a GPU, or cpu")


def _load():
    global _cupy
    if _cupy is None:
        try:
            _cupy = importlib.import_module("cupy")
        except ImportError as error:
            raise BackendError(
                "the GPU needs CuPy, which can't be imported (" + str(error).split("\n")[0] + "): "
                "pip install 'minicaffe[gpu13]' for CUDA 13, [gpu12] for CUDA 12; or use "
                "solver_mode: CPU or --gpu cpu") from error
    return _cupy


def _open_device(device_id):
    """Make a device the current one of CuPy, or say what is missing."""
    global _products
    cupy = _load()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"no GPU can be used: {_first_line(error)}; use solver_mode: CPU or "
                           "--gpu cpu") from error
    if not 0 <= device_id < count:
        raise BackendError(f"there is no GPU {device_id}: this machine has "
                           + (f"numbers 0 to {count - 1}" if count > 1 else
                              "number 0 only" if count else "none"))
    try:
        cupy.cuda.Device(device_id).use()
        cupy.cuda.runtime.free(0)                  # makes the context: driver errors show here
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"GPU {device_id} can't be used: {_first_line(error)}") from error
    _products = None


def device_name():
    """The current device as a person would name it: "NVIDIA H200", or the processor's kind."""
    if _mode == "cpu":
        import platform
        return platform.processor() or platform.machine()
    name = _cupy.cuda.runtime.getDeviceProperties(_device)["name"]
    return name.decode() if isinstance(name, bytes) else name


# ---- arrays

def module_of(array):
    """numpy or cupy, by where an array lives."""
    return numpy if isinstance(array, (numpy.ndarray, numpy.generic)) or _cupy is None \
        or not isinstance(array, _cupy.ndarray) else _cupy


def to_numpy(array):
    """`array` as a NumPy array, copied from the device (and waited for) if it lives there."""
    return numpy.asarray(array) if module_of(array) is numpy else array.get()


def to_device(array, dtype=None):
    """`array`, of NumPy or of the device, as an array of the current mode's module."""
    if _mode == "cpu":
        return numpy.asarray(to_numpy(array), dtype)
    return _cupy.asarray(array, dtype)


def assign(target, values):
    """target[...] = values, where either may be of NumPy or of the device."""
    if module_of(target) is numpy:
        target[...] = to_numpy(values)
    elif module_of(values) is numpy and numpy.ndim(values):
        values = numpy.broadcast_to(numpy.asarray(values, target.dtype), target.shape)
        if target.flags.c_contiguous:
            target.set(numpy.ascontiguousarray(values))
        else:
            target[...] = _cupy.asarray(values)
    else:
        target[...] = values


def scipy_module(xp, name):
    """The module `name` of SciPy ("special", "sparse", ...) for arrays of xp: CuPy's own on the GPU."""
    return importlib.import_module(("scipy." if xp is numpy else "cupyx.scipy.") + name)


def synchronize():
    """Wait until the device has done all it was given; nothing to wait for on the CPU."""
    if _mode == "gpu":
        _cupy.cuda.get_current_stream().synchronize()


# ---- copies that run beside the computing

def pinned_empty(shape, dtype):
    """A NumPy array in page-locked memory, from which the device copies without the host's help."""
    count = math.prod(shape)
    memory = _cupy.cuda.alloc_pinned_memory(max(1, count * numpy.dtype(dtype).itemsize))
    return numpy.frombuffer(memory, dtype, count).reshape(shape)


def device_id():
    """The number of the GPU that set_mode_gpu turns on."""
    return _device


def use_device(number):
    """Let the calling thread work with this GPU; a new thread has the first one."""
    _cupy.cuda.Device(number).use()


def current_stream():
    """The stream that the calling thread's launches go to."""
    return _cupy.cuda.get_current_stream()


def new_stream():
    """A stream of its own: waits for others only where it is told to, by events."""
    return _cupy.cuda.Stream(non_blocking=True)


def new_event():
    """An event to wait for; a host thread that does sleeps meanwhile."""
    return _cupy.cuda.Event(block=True, disable_timing=True)


# ---- errors of the device

def device_errors():
    """The exceptions by which CuPy tells of a full memory, a driver's or a library's error.

    For `except backend.device_errors() as problem`: evaluated only once something was raised.
    """
    if _cupy is None:
        return ()
    compiler = getattr(getattr(_cupy.cuda, "compiler", None), "CompileException", None)
    return tuple(kind for kind in (_cupy.cuda.memory.OutOfMemoryError,
                                   _cupy.cuda.runtime.CUDARuntimeError,
                                   getattr(_cupy.cuda.driver, "CUDADriverError", None),
                                   _cublas_error(), compiler) if kind is not None)


def explain(problem):
    """One sentence on a device error: how many bytes were asked for, or what the driver says."""
    text = _first_line(problem)
    if isinstance(problem, _cupy.cuda.memory.OutOfMemoryError):
        asked = re.search(r"allocating ([\d,]+) bytes", text)
        so_far = re.search(r"so far: ([\d,]+) bytes", text)
        return (f"GPU {_device} is out of memory: {asked.group(1) if asked else 'more'} bytes were "
                "asked for" + (f", {so_far.group(1)} are taken" if so_far else "")
                + "; a smaller batch_size may help")
    return f"GPU {_device}: {text}"


def _first_line(error):
    return (str(error) or type(error).__name__).split("\n")[0]


# ---- cuBLAS

def cublas():
    """(cuBLAS binding, handle) of the current device, made once; binding None if it isn't found.

    CuPy has moved the binding between releases: both places are looked at. TF32, which keeps 10
    bits of a factor's mantissa, is used only where MINICAFFE_TF32=1.
    """
    global _products
    if _other_products is not None:
        return _other_products
    if _products is None:
        binding = _find_cublas()
        handle = _cupy.cuda.device.get_cublas_handle()
        if binding is None:
            warnings.warn("this CuPy has no cuBLAS binding where minicaffe looks for it: products "
                          "go through cupy.matmul, which may copy", stacklevel=2)
        elif tf32_wanted():
            binding.setMathMode(handle, getattr(binding, "CUBLAS_TF32_TENSOR_OP_MATH", 3))
        else:
            binding.setMathMode(handle, getattr(binding, "CUBLAS_DEFAULT_MATH", 0))
        _products = binding, handle
    return _products


@contextlib.contextmanager
def products_by(binding, handle):
    """Within the block cublas() gives this binding and handle."""
    global _other_products
    _other_products = binding, handle
    try:
        yield
    finally:
        _other_products = None


def tf32_wanted():
    """Whether MINICAFFE_TF32 asks for products of reduced precision."""
    return os.environ.get("MINICAFFE_TF32", "0") not in ("", "0")


def _find_cublas():
    for name in "cupy_backends.cuda.libs.cublas", "cupy.cuda.cublas":
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "sgemmStridedBatched"):
            return module
    return None


def _cublas_error():
    binding = _find_cublas()
    return getattr(binding, "CUBLASError", None)


# ---- kernels

# Index has 32 bits: a division of 64-bit numbers costs a GPU some hundred steps, and most kernels
# find their place by several. No blob has more entries there (Blob.reshape), as in Caffe.
_PRELUDE = """
typedef int Index;
typedef long long Wide;
#define GRID_LOOP(i, n) \\
    for (Index i = blockIdx.x * blockDim.x + threadIdx.x, step_of_grid = blockDim.x * gridDim.x; \\
         i < (n); i = (n) - i > step_of_grid ? i + step_of_grid : (n))
"""
_THREADS = 256
_MOST_BLOCKS = 1 << 16           # beyond it threads take several entries each, by GRID_LOOP
kernel_texts = {}                # name -> Kernels, for the test that compiles them all


class Kernels:
    """CUDA functions of one text, compiled at first use, once for each floating-point type.

    name    of the text, unique: what an error message says
    text    functions `extern "C" __global__ void f(...)`. In it Real is the arrays' type (float or
            double), Index has 32 bits and Wide 64; GRID_LOOP(i, n) { ... } goes through
            i = 0 .. n-1. Parameters are `Index` and `double` for Python's int and float, `Wide` for
            numpy.int64, and pointers for arrays.
    """

    def __init__(self, name, text):
        self.name, self.text = name, text
        self._functions = {}
        kernel_texts[name] = self

    def source(self, dtype):
        """The whole text for float32 or float64."""
        real = {"f": "float", "d": "double"}[numpy.dtype(dtype).char]
        return f"#define Real {real}\n{_PRELUDE}\n{self.text}"

    def __call__(self, function, dtype, count, *arguments):
        """Run `function` with at least min(count, 2**24) threads; nothing for count 0."""
        if count:
            blocks = min(-(-count // _THREADS), _MOST_BLOCKS)
            self._launch(function, dtype, blocks, arguments)

    def by_blocks(self, function, dtype, blocks, *arguments):
        """Run `function` on that many blocks of 256 threads, which may share memory."""
        if blocks:
            self._launch(function, dtype, blocks, arguments)

    def _launch(self, function, dtype, blocks, arguments):
        arguments = tuple([numpy.int32(a) if isinstance(a, int) else a for a in arguments])
        self._function(function, dtype)((blocks,), (_THREADS,), arguments)

    def _function(self, function, dtype):
        key = function, numpy.dtype(dtype).char, _device
        if key not in self._functions:
            module = _cupy.RawModule(code=self.source(dtype), options=("--std=c++17",))
            self._functions[key] = module.get_function(function)
        return self._functions[key]
