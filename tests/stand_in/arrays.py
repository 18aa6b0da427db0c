"""cupy.ndarray's stand-in: memory of its own, which NumPy must not see, and CuPy's rules."""

import ctypes
import operator

import numpy as np

from . import state
from .state import Memory, counts, launch, refuse_copy_in_graph, synchronise

_SCALARS = (bool, int, float, complex, np.generic)
_DTYPES = "?bhilqBHILQefdFD"


class MemoryPointer:
    """Where an array begins (cupy.cuda.MemoryPointer)."""

    def __init__(self, memory, offset):
        self.mem, self._offset = memory, offset
        self.ptr = memory.start + offset

    def __add__(self, offset):
        return MemoryPointer(self.mem, self._offset + offset)

    def copy_from_host_async(self, pointer, size, stream=None):
        """From pinned memory: may be part of a graph."""
        address = getattr(pointer, "value", pointer)
        counts.to_device += 1
        launch(lambda: ctypes.memmove(self.ptr, address, size))

    def copy_from_device_async(self, source, size, stream=None):
        launch(lambda: ctypes.memmove(self.ptr, source.ptr, size))

    def memset_async(self, value, size, stream=None):
        launch(lambda: ctypes.memset(self.ptr, value, size))


def _check_dtype(dtype):
    dtype = np.dtype(dtype)
    if dtype.char not in _DTYPES:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


class ndarray:
    """An array on the pretended device; `host` (a NumPy array over its memory) is for tests only."""

    __array_priority__ = 100
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = _check_dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if memptr is None:
            memptr = MemoryPointer(Memory(size), 0)
        offset = state.GUARD + memptr._offset
        host = np.ndarray(shape, dtype, memptr.mem.bytes, offset, strides, order or "C")
        self._init(host, memptr.mem)

    def _init(self, host, memory):
        self._host, self._memory = host, memory
        return self

    # ---- what must not happen by itself

    def __array__(self, *args, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` "
                        "to construct a NumPy array explicitly.")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was given an array of the device: use self.xp")

    # ---- host reads

    def get(self, stream=None, order="C", out=None, blocking=True):
        refuse_copy_in_graph("D2H")
        counts.to_host += 1
        if blocking:
            synchronise("a copy to the host")
        if out is None:
            return self._host.copy(order)
        out[...] = self._host
        return out

    def item(self):
        refuse_copy_in_graph("D2H")
        counts.to_host += 1
        synchronise("a number read by the host")
        return self._host.item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __complex__(self):
        return complex(self.item())

    def __str__(self):
        return str(self.get())

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.get() if self.ndim else self.item(), spec)

    # ---- host writes

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        refuse_copy_in_graph("H2D")
        counts.to_device += 1
        self._host[...] = arr

    def fill(self, value):
        if isinstance(value, np.ndarray):
            if value.shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        elif isinstance(value, ndarray):
            if value.shape != ():
                raise ValueError("non-scalar array cannot be used for fill")
            value = value._host
        elif not isinstance(value, _SCALARS):
            raise TypeError(f"can't fill with {type(value)}")
        launch(lambda: self._host.fill(value))

    # ---- indices

    def __getitem__(self, key):
        key = _prepared(key)
        if _advanced(key):
            return apply("getitem", lambda a, k: a[k], (self, key))
        key = key if isinstance(key, tuple) else (key,)
        if not any(k is Ellipsis for k in key):
            key += (Ellipsis,)                            # a single entry is an array here
        return _view(self, self._host[key])

    def __setitem__(self, key, value):
        key = _prepared(key)
        if not _advanced(key):
            self[key]._overwrite(value)
            return
        if not isinstance(value, ndarray):
            value = asarray(value, self.dtype)
        target, at, source = self._host, _hosts(key), value._host
        launch(lambda: target.__setitem__(at, source))

    def _overwrite(self, value):
        if not isinstance(value, ndarray):
            self.fill(value)
        elif not _same(value._host, self._host):          # after `a[i] += x` they are
            target, source = self._host, value._host
            np.broadcast_to(source, target.shape)
            launch(lambda: target.__setitem__(..., source))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # ---- shape

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    size = property(lambda self: self._host.size)
    ndim = property(lambda self: self._host.ndim)
    dtype = property(lambda self: self._host.dtype)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: _view(self, self._host.T))

    @property
    def data(self):
        return MemoryPointer(self._memory, address(self._host) - self._memory.start)

    def reshape(self, *shape, order="C"):
        return apply("reshape", lambda a: a.reshape(*shape, order=order), (self,))

    def transpose(self, *axes):
        return _view(self, self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return _view(self, self._host.swapaxes(axis1, axis2))

    def squeeze(self, axis=None):
        return _view(self, self._host.squeeze(axis))

    def diagonal(self, offset=0, axis1=0, axis2=1):
        return _view(self, np.diagonal(self._host, offset, axis1, axis2))

    def view(self, dtype=None):
        return _view(self, self._host.view() if dtype is None else self._host.view(dtype))

    def ravel(self, order="C"):
        return apply("ravel", lambda a: a.ravel(order), (self,))

    def flatten(self, order="C"):
        return apply("flatten", lambda a: a.flatten(order), (self,))

    def copy(self, order="C"):
        return apply("copy", lambda a: a.copy(order), (self,))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        _check_dtype(dtype)
        return apply("astype", lambda a: a.astype(dtype, order), (self,))

    def repeat(self, repeats, axis=None):
        return apply("repeat", lambda a: a.repeat(repeats, axis), (self,))

    # ---- arithmetic beyond the operators

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return apply("sum", np.sum, (self, axis, dtype), out, keepdims=keepdims)

    def prod(self, axis=None, dtype=None, out=None, keepdims=False):
        return apply("prod", np.prod, (self, axis, dtype), out, keepdims=keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return apply("mean", np.mean, (self, axis, dtype), out, keepdims=keepdims)

    def var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        return apply("var", np.var, (self, axis, dtype), out, ddof=ddof, keepdims=keepdims)

    def std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        return apply("std", np.std, (self, axis, dtype), out, ddof=ddof, keepdims=keepdims)

    def max(self, axis=None, out=None, keepdims=False):
        return apply("max", np.max, (self, axis), out, keepdims=keepdims)

    def min(self, axis=None, out=None, keepdims=False):
        return apply("min", np.min, (self, axis), out, keepdims=keepdims)

    def any(self, axis=None, out=None, keepdims=False):
        return apply("any", np.any, (self, axis), out, keepdims=keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        return apply("all", np.all, (self, axis), out, keepdims=keepdims)

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):
        return apply("argmax", np.argmax, (self, axis), out, keepdims=keepdims)

    def argmin(self, axis=None, out=None, dtype=None, keepdims=False):
        return apply("argmin", np.argmin, (self, axis), out, keepdims=keepdims)

    def argsort(self, axis=-1, kind=None):
        return apply("argsort", np.argsort, (self, axis), kind="stable")

    def cumsum(self, axis=None, dtype=None, out=None):
        return apply("cumsum", np.cumsum, (self, axis, dtype), out)

    def dot(self, b, out=None):
        state.refuse_product_in_graph()
        return apply("dot", np.dot, (self, b), out)

    def take(self, indices, axis=None, out=None):
        if not isinstance(indices, (ndarray, int, np.integer)):
            indices = asarray(indices)
        return apply("take", lambda a, i: a.take(i, axis), (self, indices), out)

    def clip(self, min=None, max=None, out=None):
        return apply("clip", np.clip, (self, min, max), out)

    def round(self, decimals=0, out=None):
        return apply("round", np.round, (self, decimals), out)

    def nonzero(self):
        synchronise("nonzero")
        return tuple(_copied(a) for a in self._host.nonzero())


def _operators():
    names = ("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift "
             "lt le gt ge eq ne divmod").split()
    for name in names:
        function = divmod if name == "divmod" else getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__", _binary(name, function, False))
        if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(ndarray, f"__r{name}__", _binary(name, function, True))
            if name not in ("divmod", "matmul"):
                ufunc = {"sub": "subtract", "mul": "multiply", "truediv": "true_divide",
                         "floordiv": "floor_divide", "mod": "remainder", "pow": "power",
                         "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
                         "lshift": "left_shift", "rshift": "right_shift"}.get(name, name)
                setattr(ndarray, f"__i{name}__", _in_place(name, getattr(np, ufunc)))
    for name in "neg pos abs invert".split():
        function = getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__",
                lambda self, name=name, function=function: apply(name, function, (self,)))


def _binary(name, function, swapped):
    def method(self, other):
        _check_operand(name, other)
        if name == "matmul":
            state.refuse_product_in_graph()
        return apply(name, function, (other, self) if swapped else (self, other))
    return method


def _in_place(name, ufunc):
    def method(self, other):
        _check_operand(name, other)
        apply(name, ufunc, (self, other), self)
        return self
    return method


def _check_operand(name, other):
    if not isinstance(other, (ndarray, *_SCALARS)):
        raise TypeError(f"Unsupported type {type(other)} ({name})")


# ---- doing one thing on the device

def apply(name, function, args, out=None, **options):
    """function(*args, **options) of NumPy on the device's memory: the same as a device array.

    What NumPy gives as a view is a view here too, anything else new memory. Scalars become arrays
    without axes, as in CuPy.
    """
    hosts = _hosts(args)
    if out is not None:
        if not isinstance(out, ndarray):
            raise TypeError(f"{name}: out must be an array of the device, not {type(out)}")
        target = out._host

        def write():
            if isinstance(function, np.ufunc):
                function(*hosts, out=target, **options)
            else:
                result = function(*hosts, **options)
                if np.shape(result) != target.shape:
                    raise ValueError(f"{name}: out has shape {target.shape}, the result "
                                     f"{np.shape(result)}")
                np.copyto(target, result, casting="same_kind")
        with np.errstate(all="ignore"):
            launch(write)
        return out
    with np.errstate(all="ignore"):
        result = function(*hosts, **options)
    if isinstance(result, (tuple, list)):
        return type(result)(_wrapped(r, args, lambda i=i: function(*hosts, **options)[i])
                            for i, r in enumerate(result))
    return _wrapped(result, args, lambda: function(*hosts, **options))


def _wrapped(result, args, again):
    if isinstance(result, np.ndarray):
        for a in _devices(args):
            if _inside(result, a._memory):
                return _view(a, result)
    new = new_array(np.shape(result), np.asarray(result).dtype,
                    "F" if isinstance(result, np.ndarray) and result.ndim > 1
                    and result.flags.f_contiguous and not result.flags.c_contiguous else "C")
    host = new._host
    if state.graph.current is None:
        launch(lambda: host.__setitem__(..., result))
    else:
        host[...] = np.nan if host.dtype.kind in "fc" else 0

        def work():
            with np.errstate(all="ignore"):
                host[...] = again()
        launch(work)
    return new


def address(host):
    """Where a NumPy array begins; quicker than its .ctypes."""
    return host.__array_interface__["data"][0]


def _same(a, b):
    return address(a) == address(b) and (a.shape, a.strides) == (b.shape, b.strides)


def _inside(host, memory):
    return host.size and memory.start <= address(host) < memory.start + memory.size


def new_array(shape, dtype, order="C"):
    """An array whose memory holds NaN, or -1."""
    return ndarray(shape, dtype, order=order)


def _view(array, host):
    return ndarray.__new__(ndarray)._init(host, array._memory)


def _copied(host):
    new = new_array(host.shape, host.dtype)
    new._host[...] = host
    return new


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """cupy.asarray: what lives on the device stays what it is; the rest is copied there."""
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    if isinstance(a, (list, tuple)) and any(_devices((a,))):
        parts = [asarray(part, dtype) for part in a]
        return apply("array", lambda *rows: np.stack(rows), tuple(parts))
    refuse_copy_in_graph("H2D")
    host = np.asarray(a, dtype)
    _check_dtype(host.dtype)
    counts.to_device += 1
    return _copied(host)


def _devices(args):
    for a in args:
        if isinstance(a, ndarray):
            yield a
        elif isinstance(a, (tuple, list)):
            yield from _devices(a)


def _hosts(args):
    """The arguments with NumPy arrays over the device's memory in place of its arrays."""
    if isinstance(args, (tuple, list)):
        return type(args)(_hosts(a) for a in args)
    return args._host if isinstance(args, ndarray) else args


# ---- indices

def _prepared(key):
    """An index with arrays and lists of the host moved to the device, as CuPy does."""
    if isinstance(key, tuple):
        return tuple(_prepared(k) for k in key)
    if isinstance(key, (list, np.ndarray, bool, np.bool_)):
        return asarray(key)
    if isinstance(key, ndarray) and key.dtype == bool:
        synchronise("an index by a mask")
    if isinstance(key, ndarray) and key.dtype.kind not in "biu":
        raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: "
                         f"{key.dtype})")
    return key


def _advanced(key):
    return isinstance(key, ndarray) or isinstance(key, tuple) \
        and any(isinstance(k, ndarray) for k in key)


_operators()
