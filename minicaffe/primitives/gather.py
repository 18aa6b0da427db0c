"""Rows by number, and the reading of indices and labels, which come as floats."""

import math

import numpy as np

from ..backend import Kernels, to_numpy

_KERNELS = Kernels("gather", """
extern "C" __global__ void read_indices(Index n, const Real* values, Index limit, Wide* indices,
                                        double* found)
{   // one block: there are few indices, and the first wrong one is wanted
    __shared__ Index wrong[256];
    const int t = threadIdx.x;
    wrong[t] = n;
    for (Index i = t; i < n; i += blockDim.x) {
        const Real value = values[i];
        const bool good = value >= 0 && value < limit && value == floor(value);
        indices[i] = good ? (Index)value : 0;
        if (!good && wrong[t] == n)
            wrong[t] = i;
    }
    __syncthreads();
    if (t)
        return;
    Index first = n;
    for (int k = 0; k < (int)blockDim.x; ++k)
        if (wrong[k] < first)
            first = wrong[k];
    if (first < n && found[0] < 0) {
        found[0] = first;
        found[1] = values[first];
    }
}

extern "C" __global__ void take_rows(Index n, Index width, const Real* x, const Wide* indices,
                                     Real* y)
{
    GRID_LOOP(i, n)
        y[i] = x[indices[i / width] * width + i % width];
}

extern "C" __global__ void add_rows(Index count, Index width, const Wide* indices,
                                    const Real* rows, Real* target)
{   // the block of an index's first occurrence adds the rows of all of them, in their order
    __shared__ int earlier;
    const Index m = blockIdx.x, row = indices[m];
    if (threadIdx.x == 0)
        earlier = 0;
    __syncthreads();
    for (Index j = threadIdx.x; j < m; j += blockDim.x)
        if (indices[j] == row)
            earlier = 1;
    __syncthreads();
    if (earlier)
        return;
    for (Index d = threadIdx.x; d < width; d += blockDim.x) {
        Real sum = target[row * width + d];
        for (Index j = m; j < count; ++j)
            if (indices[j] == row)
                sum += rows[j * width + d];
        target[row * width + d] = sum;
    }
}
""")


class IndexReader:
    """Indices or labels as integers; one that is no whole number from 0 to limit - 1 is an error.

    what            begins the sentence of the error, as "label {} at index {}"
    error           makes the exception of a sentence
    ignore_label    a value that is allowed besides; None: there is none

    On the CPU `read` raises. On the GPU that would wait for the device: the first wrong value and
    its place are kept there, in `found`, and raised by `check`; until then its sample counts
    nothing, or has index 0.
    """

    def __init__(self, xp, what, error, ignore_label=None):
        self.xp, self.what, self.error, self.ignore_label = xp, what, error, ignore_label
        self.found = None if xp is np else xp.full(2, -1.0)       # flat place, or -1, and value

    @property
    def ignore(self):
        """ignore_label for a kernel: a NaN, which equals nothing, where there is none."""
        return math.nan if self.ignore_label is None else float(self.ignore_label)

    def expect(self, shape, limit):
        """Say in reshape what will be read: an array of that shape, of numbers below `limit`."""
        self.shape, self.limit = shape, limit
        if self.xp is not np:
            self._indices = self.xp.empty(shape, np.int64)

    def read(self, values):
        """(indices, valid), of the values' shape: integers, and which of them count.

        An ignored one becomes index 0 with valid False. On the GPU, where losses read their labels
        in kernels of their own, valid is None.
        """
        if self.xp is not np:
            _KERNELS.by_blocks("read_indices", values.dtype, 1, values.size, values, self.limit,
                               self._indices, self.found)
            return self._indices, None
        good = (values >= 0) & (values < self.limit) & (values == np.floor(values))
        valid = np.ones(values.shape, bool) if self.ignore_label is None \
            else values != self.ignore_label
        if not (good | ~valid).all():
            at = int((good | ~valid).argmin())
            raise self._wrong(at, values.reshape(-1)[at])
        return np.where(valid, values, 0).astype(np.intp), valid

    def check(self):
        """Raise what `found` says, if anything: it waits for the device."""
        if self.found is not None:
            place, value = to_numpy(self.found)
            if place >= 0:
                self.found.fill(-1)
                raise self._wrong(int(place), value)

    def _wrong(self, flat, value):
        place = tuple(int(i) for i in np.unravel_index(flat, self.shape)) if self.shape else ()
        allowed = f"a whole number from 0 to {self.limit - 1}"
        if self.ignore_label is not None:
            allowed += f" or the ignore_label {self.ignore_label}"
        return self.error(f"{self.what.format(f'{float(value):.9g}', place)} is not {allowed}")


def take_rows(xp, x, indices, out):
    """out[m] = x[indices[m]], for integer indices (flat) that are all right."""
    if xp is np:
        np.take(x, indices, axis=0, out=out, mode="clip")           # clip: straight into `out`
    else:
        _KERNELS("take_rows", x.dtype, out.size, out.size, math.prod(x.shape[1:]), x, indices, out)


def add_rows(xp, target, indices, rows):
    """target[indices[m]] += rows[m] for all m, in their order: the adjoint of take_rows."""
    if xp is np:
        np.add.at(target, indices, rows)
    else:
        _KERNELS.by_blocks("add_rows", rows.dtype, indices.size, indices.size,
                           math.prod(target.shape[1:]), indices, rows, target)
