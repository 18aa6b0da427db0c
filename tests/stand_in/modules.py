"""The modules that stand for CuPy in sys.modules, and what of CuPy they know.

Functions and keywords are those of CuPy 14, and of them those that layers have needed so far: one
that is missing here is added to the tables after a look at CuPy itself; test_stand_in.py compares the
tables with the real package where that can be imported.
"""

import contextlib
import sys
import types

import numpy as np
import scipy.special

from . import arrays, blas, kernels, runtime, sparse, state
from .arrays import apply, asarray, ndarray

UFUNCS = """
    add subtract multiply divide true_divide floor_divide remainder mod power negative absolute abs
    sign square sqrt cbrt exp expm1 exp2 log log2 log10 log1p tanh sinh cosh sin cos tan arcsin arccos
    arctan arctan2 arcsinh arccosh arctanh hypot reciprocal floor ceil trunc rint fabs maximum minimum
    fmax fmin fmod copysign signbit isnan isinf isfinite greater greater_equal less less_equal equal
    not_equal logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor invert
    left_shift right_shift logaddexp ldexp
""".split()
REDUCING = {"add", "multiply"}                # of them .reduce exists with the signature used here

# name -> the keywords of CuPy's function, in its order
FUNCTIONS = {
    "matmul": "x1 x2 out", "dot": "a b out", "tensordot": "a b axes", "outer": "a b out",
    "einsum": "subscripts operands", "where": "condition x y",
    "take_along_axis": "a indices axis", "clip": "a a_min a_max out",
    "sum": "a axis dtype out keepdims", "prod": "a axis dtype out keepdims",
    "mean": "a axis dtype out keepdims", "var": "a axis dtype out ddof keepdims",
    "std": "a axis dtype out ddof keepdims",
    "amax": "a axis out keepdims", "amin": "a axis out keepdims",
    "max": "a axis out keepdims", "min": "a axis out keepdims",
    "any": "a axis out keepdims", "all": "a axis out keepdims",
    "argmax": "a axis dtype out keepdims", "argmin": "a axis dtype out keepdims",
    "argsort": "a axis kind", "argpartition": "a kth axis", "sort": "a axis kind",
    "cumsum": "a axis dtype out",
    "concatenate": "tup axis out", "stack": "tup axis out", "copyto": "dst src casting where",
    "moveaxis": "a source destination", "swapaxes": "a axis1 axis2", "transpose": "a axes",
    "broadcast_to": "array shape", "reshape": "a newshape order", "ravel": "a order",
    "squeeze": "a axis", "expand_dims": "a axis", "tile": "A reps", "repeat": "a repeats axis",
    "roll": "a shift axis", "flip": "a axis", "pad": "array pad_width mode", "diag": "v k",
    "isclose": "a b rtol atol equal_nan", "array_equal": "a1 a2 equal_nan",
    "allclose": "a b rtol atol equal_nan", "count_nonzero": "a axis", "bincount": "x weights minlength",
    "flatnonzero": "a", "nonzero": "a", "argwhere": "a", "unique": "ar", "tril": "m k", "triu": "m k",
    "ascontiguousarray": "a dtype", "searchsorted": "a v side", "nan_to_num": "x",
}
WAIT = {"bincount", "flatnonzero", "nonzero", "argwhere", "unique"}      # they read on the host
PRODUCTS = {"matmul", "dot", "tensordot", "outer", "einsum"}             # by cuBLAS
OPTIONS = set("axis dtype out keepdims ddof kind kth weights minlength casting where order "
              "rtol atol equal_nan mode side".split())
SPECIAL = "expit gammaln erf erfc digamma xlogy entr logsumexp".split()


class Ufunc:
    """One of CuPy's universal functions: no `where`, and out of the device only."""

    def __init__(self, name, function):
        self.name, self.__name__, self._function = name, name, function
        self.nin, self.nout = function.nin, function.nout

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        if len(args) == self.nin + 1 and out is None:
            *args, out = args
        if len(args) != self.nin:
            raise TypeError(f"Wrong number of arguments for '{self.name}': {len(args)}")
        for a in args:
            if not isinstance(a, (ndarray, bool, int, float, complex, np.generic)):
                raise TypeError(f"Unsupported type {type(a)} ({self.name})")
        options = {"casting": casting} if dtype is None else {"casting": casting, "dtype": dtype}
        if isinstance(out, tuple):
            out, = out
        return apply(self.name, self._function, tuple(args), out, **options)

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.name not in REDUCING:
            raise NotImplementedError(f"cupy.{self.name}.reduce is not known to the stand-in")
        return apply(f"{self.name}.reduce", self._function.reduce, (array,), out, axis=axis,
                     dtype=dtype, keepdims=keepdims)

    def at(self, a, indices, b=None):
        if self.name not in ("add", "maximum", "minimum", "subtract"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        target, at = a._host, arrays._hosts(indices)
        value = b._host if isinstance(b, ndarray) else b
        state.launch(lambda: self._function.at(target, at, value))


def _function(name):
    """CuPy's function of that name: its own keywords only, arrays of the device only."""
    numpys = getattr(np, name)
    parameters = FUNCTIONS[name].split()

    def function(*args, **options):
        if len(args) > len(parameters) and "operands" not in parameters:
            raise TypeError(f"cupy.{name}() takes {len(parameters)} arguments, not {len(args)}")
        unknown = [key for key in options if key not in parameters]
        if unknown:
            raise TypeError(f"cupy.{name}() got an unexpected keyword argument '{unknown[0]}'")
        _refuse_host_arrays(name, (*args, *options.values()))
        # NumPy has the same names for the options, but another order of some
        begin = next((i for i, p in enumerate(parameters) if p in OPTIONS), len(args))
        options.update(zip(parameters[begin:], args[begin:]))
        args, out = args[:begin], options.pop("out", None)
        if options.get("dtype", 0) is None:
            del options["dtype"]                          # as left out: NumPy's argmax has none
        if name in WAIT:
            state.synchronise(name)
        if name in PRODUCTS:
            state.refuse_product_in_graph()
        keys = tuple(options)
        return apply(name, lambda values, rest: numpys(*values, **dict(zip(keys, rest))),
                     (args, tuple(options.values())), out)

    function.__name__ = name
    return function


def _refuse_host_arrays(name, args):
    for a in args:
        if isinstance(a, np.ndarray):
            raise TypeError(f"cupy.{name}: Unsupported type {type(a)}")
        if isinstance(a, (tuple, list)):
            _refuse_host_arrays(name, a)


# ---- functions that are not NumPy's with other memory

def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def zeros(shape, dtype=float, order="C"):
    return full(shape, 0, dtype, order)


def ones(shape, dtype=float, order="C"):
    return full(shape, 1, dtype, order)


def full(shape, fill_value, dtype=None, order="C"):
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else np.asarray(fill_value).dtype
    result = empty(shape, dtype, order)
    result.fill(fill_value)
    return result


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return zeros(a.shape if shape is None else shape, dtype or a.dtype)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return ones(a.shape if shape is None else shape, dtype or a.dtype)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    return full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)


def arange(start, stop=None, step=1, dtype=None):
    return apply("arange", lambda: np.arange(*((start,) if stop is None else (start, stop, step)),
                                             dtype=dtype), ())


def eye(N, M=None, k=0, dtype=float, order="C"):
    return apply("eye", lambda: np.eye(N, M, k, dtype), ())


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    return apply("linspace", lambda: np.linspace(start, stop, num, endpoint, dtype=dtype), ())


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    result = asarray(obj, dtype)
    return result.copy() if copy and result is obj else result


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(stream, order, out, blocking) if isinstance(a, ndarray) else np.asarray(a)


def take(a, indices, axis=None, out=None):
    return a.take(indices, axis, out)


def copyto(dst, src, casting="same_kind", where=None):
    _refuse_host_arrays("copyto", (src, where))
    target, (source, mask) = dst._host, arrays._hosts((src, where))
    options = {} if where is None else {"where": mask}
    state.launch(lambda: np.copyto(target, source, casting, **options))


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(a._host, b._host)


def shares_memory(a, b, max_work=None):
    return np.shares_memory(a._host, b._host)


CREATION = (empty, zeros, ones, full, empty_like, zeros_like, ones_like, full_like, arange, eye,
            linspace, array, asarray, asnumpy, take, copyto, may_share_memory, shares_memory)
CONSTANTS = ("float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ dtype "
             "pi e inf nan newaxis").split()


def _svd(a, full_matrices=True, compute_uv=True):
    """The singular values only, of a matrix or a stack of them."""
    if compute_uv:
        raise NotImplementedError("the stand-in's cupy.linalg.svd gives no singular vectors")
    _refuse_host_arrays("linalg.svd", (a,))
    return apply("linalg.svd", lambda x: np.linalg.svd(x, compute_uv=False), (a,))


def _missing(module):
    def find(name):
        raise AttributeError(f"the stand-in knows no {module}.{name}; if CuPy has it, it belongs in "
                             "tests/stand_in/modules.py")
    return find


def build():
    """{name in sys.modules: module}."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.stand-in"
    cupy.ndarray = ndarray
    for name in UFUNCS:
        setattr(cupy, name, Ufunc(name, getattr(np, name)))
    for name in FUNCTIONS:
        setattr(cupy, name, _function(name))
    for function in CREATION:
        setattr(cupy, function.__name__, function)
    for name in CONSTANTS:
        setattr(cupy, name, getattr(np, name))
    cupy.RawModule, cupy.RawKernel = kernels.RawModule, kernels.RawKernel
    cupy.cuda = runtime.module()
    cupy.get_default_memory_pool = lambda: runtime.default_pool
    cupy.get_default_pinned_memory_pool = lambda: runtime.default_pinned_pool
    cupy.__getattr__ = _missing("cupy")
    cupy.linalg = types.ModuleType("cupy.linalg")
    cupy.linalg.svd = _svd
    cupy.linalg.__getattr__ = _missing("cupy.linalg")
    special = types.ModuleType("cupyx.scipy.special")
    for name in SPECIAL:
        function = getattr(scipy.special, name)
        setattr(special, name, Ufunc(name, function) if isinstance(function, np.ufunc) else
                lambda *args, f=function, name=name, **more: apply(name, f, args, **more))
    special.__getattr__ = _missing("cupyx.scipy.special")
    cupyx = types.ModuleType("cupyx")
    cupyx.scipy = types.ModuleType("cupyx.scipy")
    cupyx.scipy.special = special
    cupyx.scatter_add = lambda a, slices, value: cupy.add.at(a, slices, value)
    cupyx.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)
    names = {"cupy": cupy, "cupy.cuda": cupy.cuda, "cupy.linalg": cupy.linalg, "cupyx": cupyx,
             "cupyx.scipy": cupyx.scipy, "cupyx.scipy.special": special,
             "cupyx.scipy.sparse": sparse.module()}
    for name in "cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs":
        names[name] = types.ModuleType(name)
    names["cupy_backends.cuda.libs.cublas"] = blas.module()
    return names


_modules = None


@contextlib.contextmanager
def installed():
    """`import cupy` gives the stand-in inside, and what was there before comes back after."""
    global _modules
    if _modules is None:
        _modules = build()
    before = {name: sys.modules.get(name) for name in _modules}
    sys.modules.update(_modules)
    state.counts.reset()
    blas.reset()
    try:
        yield _modules["cupy"]
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
