"""Blob: the named array every layer reads and writes, with its gradient."""

import math

import numpy as np

from . import backend
from .errors import Error


_MOST_ON_GPU = 2**31 - 1         # its kernels count in 32 bits


class _Count(int):
    """Blob.count: pycaffe has a property of this name, Caffe's C++ a method; this is both."""

    def __new__(cls, shape):
        count = super().__new__(cls, math.prod(shape))
        count._shape = shape
        return count

    def __call__(self, start=0, end=None):
        return math.prod(self._shape[start:end])


class Blob:
    """An N-dimensional array `data` and its gradient `diff`, as in Caffe (blob.hpp).

    Both are C-contiguous, of one dtype (float32 or float64), made on first use and filled with
    zeros. A reshape to a smaller size keeps the memory. `mask`, if set, says which entries of
    `data` may be non-zero: setting it zeroes the others, and every solver update is multiplied
    by it; nothing else keeps weights at zero.

    The arrays live where the blob was made: with NumPy, or on the GPU. There read them by
    minicaffe.to_numpy(blob.data); assigning (blob.data = array) takes arrays of either kind.
    """

    def __init__(self, shape=(), dtype=np.float32):
        self.xp = backend.xp()
        self.dtype = np.dtype(dtype)
        self.shape = ()
        self._data = self._diff = None          # flat buffers, at least self.size long
        self._data_view = self._diff_view = None
        self._mask = self._lender = None        # _lender: the blob whose data, and mask, this one uses
        self.reshape(shape)

    # ---- shape

    def reshape(self, *shape):
        """Change the shape: reshape(2, 3) or reshape((2, 3)). Contents beyond size are kept."""
        if len(shape) == 1 and not np.isscalar(shape[0]):
            shape = shape[0]
        shape = tuple(int(d) for d in shape)
        if any(d < 0 for d in shape):
            raise Error(f"a blob can't have the shape {shape}: sizes must not be negative")
        if self.xp is not np and math.prod(shape) > _MOST_ON_GPU:
            raise Error(f"a blob of shape {shape} has more than {_MOST_ON_GPU} values, the most "
                        "that the GPU back end (and Caffe) can count")
        if shape != self.shape:
            self._mask = self._lender = None
        self.shape, self.size = shape, math.prod(shape)
        self._data_view = self._diff_view = None

    def reshape_like(self, other):
        """Take another blob's shape."""
        self.reshape(other.shape)

    @property
    def num_axes(self):
        return len(self.shape)

    def canonical_axis(self, axis):
        """`axis` counted from the front, -1 being the last. Raises Error if there is none such."""
        if not -len(self.shape) <= axis < len(self.shape):
            raise Error(f"axis {axis} does not exist in a blob of shape {self.shape}")
        return axis % len(self.shape)

    @property
    def count(self):
        """The number of values; called, count(start, end), that of axes start .. end-1."""
        return _Count(self.shape)

    def _legacy(self, index):
        if len(self.shape) > 4:
            raise Error(f"num, channels, height and width need at most 4 axes, not {self.shape}")
        return self.shape[index] if index < len(self.shape) else 1

    num = property(lambda self: self._legacy(0), doc="size of axis 0, 1 where it is missing")
    channels = property(lambda self: self._legacy(1), doc="size of axis 1, 1 where it is missing")
    height = property(lambda self: self._legacy(2), doc="size of axis 2, 1 where it is missing")
    width = property(lambda self: self._legacy(3), doc="size of axis 3, 1 where it is missing")

    # ---- arrays

    @property
    def data(self):
        """The values: an array of self.shape. Assigning to it copies into the same memory."""
        if self._data_view is None:
            if self._data is None or self._data.size < self.size:
                self._data = self.xp.zeros(self.size, self.dtype)
            self._data_view = self._data[:self.size].reshape(self.shape)
        return self._data_view

    @data.setter
    def data(self, values):
        if values is not self._data_view:          # `blob.data += x` has already written in place
            backend.assign(self.data, values)

    @property
    def diff(self):
        """The gradient of the loss by `data`, an array of the same shape."""
        if self._diff_view is None:
            if self._diff is None or self._diff.size < self.size:
                self._diff = self.xp.zeros(self.size, self.dtype)
            self._diff_view = self._diff[:self.size].reshape(self.shape)
        return self._diff_view

    @diff.setter
    def diff(self, values):
        if values is not self._diff_view:
            backend.assign(self.diff, values)

    def share_data(self, other):
        """Use the other blob's data, and its mask, as one's own from now on (sizes must agree)."""
        self._check_shareable(other)
        self._data, self._data_view = other.data.reshape(-1), None
        self._lender = other

    def share_diff(self, other):
        """Use the other blob's diff as one's own from now on (sizes must agree)."""
        self._check_shareable(other)
        self._diff, self._diff_view = other.diff.reshape(-1), None

    def _check_shareable(self, other):
        if self.size != other.size or self.dtype != other.dtype:
            raise Error(f"a blob of shape {self.shape} ({self.dtype}) can't share the memory of one "
                        f"of shape {other.shape} ({other.dtype})")

    # ---- mask

    @property
    def mask(self):
        """None, or a boolean array of self.shape: True where data may be non-zero."""
        if self._lender is None:
            return self._mask
        mask = self._lender.mask
        return mask if mask is None else mask.reshape(self.shape)

    @mask.setter
    def mask(self, mask):
        if mask is not None:
            if self.xp is np:
                mask = backend.to_numpy(mask)
            mask = self.xp.array(mask, dtype=bool)       # a copy: the caller's array may change
            if mask.shape != self.shape:
                raise Error(f"a mask of shape {mask.shape} does not fit a blob of {self.shape}")
            self.xp.copyto(self.data, 0, where=~mask)
        if self._lender is None:
            self._mask = mask
        else:
            self._lender.mask = mask if mask is None else mask.reshape(self._lender.shape)
