"""Correlation of images with kernels, its adjoint and its gradients: what Convolution and
Deconvolution have in common. On the CPU images are taken in chunks that stay in cache and that
threads share out, on the GPU all at once if their columns fit."""

import math
from typing import NamedTuple

import numpy as np

from . import im2col
from .channels import add_bias, add_sums
from .gemm import batched_matmul
from .parallel import for_each, num_threads

_COLUMN_BYTES = 1 << 21            # of one chunk's columns: about what a second-level cache holds
_ROW = 96                          # numbers that a copied row should have at least
_PARTIAL_BYTES = 1 << 24           # of all partial weight gradients together
_MOST_LANES = 8
_GPU_COLUMN_BYTES = 1 << 28        # of one chunk's columns on the GPU
_GPU_PLACES = 64                   # of one image, from which products of single images fill tiles
_GPU_TILE = 64                     # rows and columns of a product that one block computes, about
_GPU_BLOCKS = 256                  # that a product should have, to keep any GPU busy


class Geometry(NamedTuple):
    """Kernel, stride, pad, dilation: a number a spatial axis; group; cyclic: the border of width
    `pad` holds the image's other side instead of zeros."""
    kernel: tuple
    stride: tuple
    pad: tuple
    dilation: tuple
    group: int = 1
    cyclic: bool = False

    def output(self, size):
        """Number of windows a spatial axis on an image of this size (below 1: it is too small)."""
        return tuple((s + 2 * p - d * (k - 1) - 1) // t + 1 for s, p, d, k, t in
                     zip(size, self.pad, self.dilation, self.kernel, self.stride))


def correlation(xp, dtype, channels, features, geometry):
    """A Correlation for the arrays of xp."""
    return (Correlation if xp is np else GpuCorrelation)(xp, dtype, channels, features, geometry)


class Correlation:
    """y = w X, X being the columns of all windows of x (a group at a time), and what belongs to it.

    images    x  (N, C, *size)          weights  w  (F, C/G, *kernel)
    features  y  (N, F, *output)
    to_features: y from x. to_images: the adjoint, x from y, x = col2im(w^T y); where stride is 1
    and it costs no more arithmetic, as the correlation of the padded y with the flipped kernel
    (the same sums). The gradients of either, by w too, are these and y X^T: between `start` and
    `finish`, backward_features or backward_images for each pair of blobs.
    """

    def __init__(self, xp, dtype, channels, features, geometry):
        self.xp, self.dtype, self.channels, self.features = xp, dtype, channels, features
        self.geometry = geometry
        self.taps = math.prod(geometry.kernel)
        G = geometry.group
        self.weights_shape = (G, features // G, channels // G * self.taps)

    def plan(self, images, size, output):
        """Images a chunk, lanes of chunks, and the way to the images: by shapes only."""
        g, itemsize = self.geometry, np.dtype(self.dtype).itemsize
        self.number, self.size, self.output = images, tuple(size), tuple(output)
        places = math.prod(output)
        column_bytes = self.channels * self.taps * places * itemsize
        chunk = max(_COLUMN_BYTES // column_bytes, -(-_ROW // output[-1]))
        chunks = max(1, -(-images // chunk))
        chunks += chunks % 2 if images > 1 else 0
        self.chunk = max(1, -(-images // chunks))
        partials = _PARTIAL_BYTES // max(1, math.prod(self.weights_shape) * itemsize)
        self.lanes = max(1, min(chunks, _MOST_LANES, max(2, partials)))
        self.reach = tuple(d * (k - 1) - p for d, k, p in
                           zip(g.dilation, g.kernel, g.pad))   # border of the padded features
        self.flipped = (set(g.stride) == {1} and min(self.reach) >= 0 and not g.cyclic
                        and self.features * math.prod(size) <= 1.3 * self.channels * places)
        self.pointwise = self.taps == 1 and set(g.stride) == {1} and not any(g.pad)
        self.work = [im2col.Workspace(self.dtype) for _ in range(num_threads)]
        self.partial = im2col.Workspace(self.dtype)

    # ---- forward and adjoint, on all images

    def to_features(self, w, x, y, bias=None):
        """y = w X (+ bias of each feature)."""
        w = w.reshape(self.weights_shape)

        def lane(first, worker):
            work = self.work[worker]
            for part in self._parts(first):
                out = self._features_of(w, self._columns(x[part], work), len(x[part]), work)
                if bias is not None:
                    rows = out.reshape(len(out), -1)
                    rows += bias[:, None]
                im2col.store(y[part], out, (0,) * len(self.size))

        for_each(lane, self.lanes)

    def to_images(self, w, y, x):
        """x = col2im(w^T y)."""
        adjoint = self._adjoint(w)

        def lane(first, worker):
            work = self.work[worker]
            for part in self._parts(first):
                self._write_images(self._load_features(y[part], work), adjoint, x[part], work)

        for_each(lane, self.lanes)

    # ---- gradients

    def start(self, w, dw, dc=None, images=False):
        """Take gradients from here to `finish`, which adds them to dw (like w) and dc (F,).

        None: not wanted. images: whether backward_features will be asked for dx.
        """
        group, features, rows = self.weights_shape
        self.w, self.targets = w.reshape(self.weights_shape), (dw, dc)
        self.adjoint = self._adjoint(w) if images else None
        self.dw = self.partial.get("dw", (self.lanes, group, rows, features))    # transposed
        self.dc = self.partial.get("dc", (self.lanes, self.features))
        self.dw.fill(0)
        self.dc.fill(0)

    def backward_features(self, x, dy, dx):
        """Of y = w X + c: dx (unless None), dw and dc from dy."""
        weights, bias = (target is not None for target in self.targets)

        def lane(first, worker):
            work = self.work[worker]
            for part in self._parts(first):
                g = self._load_features(dy[part], work)
                if weights:
                    self._add_product(first, self._columns(x[part], work), g, work)
                if bias:
                    self.dc[first] += g.reshape(len(g), -1).sum(axis=1)
                if dx is not None:
                    self._write_images(g, self.adjoint, dx[part], work)

        for_each(lane, self.lanes)

    def backward_images(self, y, dx, dy):
        """Of x = col2im(w^T y): dy (unless None) and dw from dx."""
        weights = self.targets[0] is not None

        def lane(first, worker):
            work = self.work[worker]
            for part in self._parts(first):
                columns = self._columns(dx[part], work)
                if weights:
                    self._add_product(first, columns, self._load_features(y[part], work), work)
                if dy is not None:
                    out = self._features_of(self.w, columns, len(dx[part]), work)
                    im2col.store(dy[part], out, (0,) * len(self.size))

        for_each(lane, self.lanes)

    def finish(self):
        """Add what the lanes have summed to dw and dc."""
        dw, dc = self.targets
        if dw is not None:
            dw += self.dw.sum(axis=0).transpose(0, 2, 1).reshape(dw.shape)
        if dc is not None:
            dc += self.dc.sum(axis=0)

    def _adjoint(self, w):
        """The weights as _write_images needs them: flipped or transposed."""
        if self.flipped:
            return self._flipped_weights(w)
        return w.reshape(self.weights_shape).transpose(0, 2, 1)

    # ---- a chunk of m images

    def _columns(self, x, work):
        """The windows of images x (m, C, *size) as (G, C/G * taps, places * m)."""
        m, g = len(x), self.geometry
        padded = work.get("padded", im2col.padded_shape(self.channels, self.size, g.pad, m))
        im2col.load(padded, x, g.pad, g.cyclic)
        if self.pointwise:
            return self._grouped(padded)
        columns = work.get("columns", (self.channels, *g.kernel, *self.output, m))
        columns[...] = im2col.windows(padded, g.kernel, g.stride, g.dilation, self.output)
        return columns.reshape(g.group, self.weights_shape[2], -1)

    def _features_of(self, w, columns, m, work):
        """w columns as (F, *output, m)."""
        out = work.get("out", (self.features, *self.output, m))
        np.matmul(w, columns, out=self._grouped(out))
        return out

    def _load_features(self, y, work):
        """Features y (m, F, *output) as (F, *output, m)."""
        g = work.get("out", (self.features, *self.output, len(y)))
        im2col.load(g, y, (0,) * len(self.size))
        return g

    def _add_product(self, first, columns, g, work):
        product = work.get("dw", self.dw.shape[1:])
        np.matmul(columns, self._grouped(g).transpose(0, 2, 1), out=product)
        self.dw[first] += product

    def _write_images(self, y, w, x, work):
        """Write images x (m, C, *size) from the chunk's features y (F, *output, m)."""
        m, g = len(x), self.geometry
        if self.flipped:
            border = im2col.padded_shape(len(y), self.output, self.reach, m)
            padded = work.get("padded", border)
            if any(self.reach):
                padded.fill(0)
            im2col.interior(padded, self.reach)[...] = y
            columns = work.get("columns", (len(y), *g.kernel, *self.size, m))
            columns[...] = im2col.windows(padded, g.kernel, g.stride, g.dilation, self.size)
            chunk = work.get("dx", (self.channels, *self.size, m))
            np.matmul(w, columns.reshape(g.group, w.shape[2], -1), out=self._grouped(chunk))
            im2col.store(x, chunk, (0,) * len(self.size))
            return
        columns = work.get("columns", (self.channels, *g.kernel, *self.output, m))
        np.matmul(w, self._grouped(y), out=columns.reshape(g.group, self.weights_shape[2], -1))
        padded = work.get("padded", im2col.padded_shape(self.channels, self.size, g.pad, m))
        padded.fill(0)
        im2col.add_windows(padded, columns, g.kernel, g.stride, g.dilation, self.output)
        if g.cyclic:
            im2col.unwrap(padded, g.pad)
        im2col.store(x, padded, g.pad)

    def _flipped_weights(self, w):
        """w with kernels reversed and inputs and outputs exchanged: (G, C/G, F/G * taps)."""
        group, features, _ = self.weights_shape
        w = w.reshape(group, features, -1, *self.geometry.kernel)
        w = np.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2)
        return np.ascontiguousarray(w).reshape(group, w.shape[1], -1)

    def _grouped(self, a):
        """(channels, ...) as (G, channels/G, everything else): a view."""
        return a.reshape(self.geometry.group, a.shape[0] // self.geometry.group, -1)

    def _parts(self, first):
        """The slices of images that lane `first` works through."""
        step = self.chunk * self.lanes
        for start in range(first * self.chunk, self.number, step):
            yield slice(start, min(start + self.chunk, self.number))


class GpuCorrelation(Correlation):
    """A Correlation that takes all images, or chunks of m, in one product with m * places columns.

    Columns and features lie image after image, so that copies to and from the blobs run along the
    images' rows. Products of so many columns fill a GPU where those of single images would be too
    small, and the gradient of the weights is one product; the copies of features cost little
    beside. Two cases need no columns: kernels of one tap, a product an image on the blobs as they
    are; and few terms a window, as in a first layer, where writing and reading the columns would
    take longer than the arithmetic.

    The weights' gradient has few entries, each a sum over m * places: it is taken in parts, some
    images each, as many as give a GPU enough blocks, and these are summed then.
    """

    def plan(self, images, size, output):
        """Images a chunk, and the way to take, by shapes only."""
        g, itemsize = self.geometry, np.dtype(self.dtype).itemsize
        self.number, self.places = images, math.prod(output)
        column_bytes = self.channels * self.taps * self.places * itemsize
        chunks = -(-images // max(1, _GPU_COLUMN_BYTES // column_bytes))
        self.chunk = -(-images // max(1, chunks))
        self.windows = im2col.Windows(self.xp, self.channels, size, output, g)
        self.direct = g.group == 1 and self.weights_shape[2] <= self.windows.most_terms
        self.pointwise = (self.taps == 1 and set(g.stride) == {1} and not any(g.pad)
                          and g.group == 1 and self.places >= _GPU_PLACES)
        self.splits = {m: self._split(m) for m in (self.chunk, images % max(1, self.chunk))}
        self.work = im2col.Workspace(self.dtype, self.xp)

    def _split(self, m):
        """The number of parts that m images are taken in for the gradient of the weights."""
        group, features, terms = self.weights_shape
        blocks = -(-features // _GPU_TILE) * -(-terms // _GPU_TILE)
        most = min(_GPU_BLOCKS // blocks, m * self.places // 4 // _GPU_TILE) if group == 1 else 1
        return max((d for d in range(1, min(m, most) + 1) if m % d == 0), default=1)

    def to_features(self, w, x, y, bias=None):
        w = w.reshape(self.weights_shape)
        if self.pointwise:
            batched_matmul(self.xp, w, self._flat(x), self._flat(y))
            if bias is not None:
                add_bias(self.xp, y, bias)
        elif self.direct:
            self.windows.correlate(w, x, y, bias)
        else:
            for part in self._chunks():
                self._features_from(w, self._columns(x[part]), y[part], bias)

    def to_images(self, w, y, x):
        w = w.reshape(self.weights_shape)
        if self.pointwise:
            batched_matmul(self.xp, w.swapaxes(1, 2), self._flat(y), self._flat(x))
        else:
            for part in self._chunks():
                self._write_images(self._rows(y[part]), w, x[part])

    def start(self, w, dw, dc=None, images=False):
        self.w, self.dc = w.reshape(self.weights_shape), dc
        self.dw = None if dw is None else dw.reshape(self.weights_shape)

    def backward_features(self, x, dy, dx):
        if self.dc is not None:
            add_sums(self.xp, dy, self.dc)
        if dx is not None and self.pointwise:
            self.to_images(self.w, dy, dx)
            dx = None
        for part in self._chunks() if dx is not None or self.dw is not None else ():
            rows = self._rows(dy[part])
            if self.dw is not None:
                self._add_product(rows, self._columns(x[part]), self.splits[len(x[part])])
            if dx is not None:
                self._write_images(rows, self.w, dx[part])

    def backward_images(self, y, dx, dy):
        for part in self._chunks():
            columns = self._columns(dx[part])
            if self.dw is not None:
                self._add_product(self._rows(y[part]), columns, self.splits[len(dx[part])])
            if dy is not None:
                self._features_from(self.w, columns, dy[part], None)

    def finish(self):
        """Nothing to do: the products have added to dw and dc."""

    # ---- a chunk of m images

    def _chunks(self):
        for first in range(0, self.number, max(1, self.chunk)):
            yield slice(first, min(first + self.chunk, self.number))

    def _columns(self, x):
        """The windows of images x (m, C, *size) as (G, C/G * taps, m * places)."""
        columns = self._empty_columns(len(x))
        self.windows.columns(x, columns, self.places, len(x) * self.places)
        return columns

    def _empty_columns(self, m):
        group, _, terms = self.weights_shape
        return self.work.get("columns", (group, terms, m * self.places))

    def _rows(self, y):
        """Features y (m, F, *output) as (G, F/G, m * places)."""
        rows = self.work.get("rows", (*self.weights_shape[:2], len(y) * self.places))
        im2col.rows_of(y, rows)
        return rows

    def _features_from(self, w, columns, y, bias):
        """Features y (m, F, *output) = w columns + bias."""
        rows = self.work.get("rows", (*self.weights_shape[:2], columns.shape[2]))
        batched_matmul(self.xp, w, columns, rows)
        im2col.features_of(rows, y, bias)

    def _add_product(self, rows, columns, parts):
        """dw += rows columns^T, in that many parts of equal length."""
        if parts == 1:
            batched_matmul(self.xp, rows, columns.swapaxes(1, 2), self.dw, add=True)
            return
        _, features, terms = self.weights_shape
        products = self.work.get("products", (parts, features * terms))
        batched_matmul(self.xp, rows.reshape(features, parts, -1).swapaxes(0, 1),
                       columns.reshape(terms, parts, -1).transpose(1, 2, 0),
                       products.reshape(parts, features, terms))
        add_sums(self.xp, products, self.dw.reshape(-1))

    def _write_images(self, rows, w, x):
        """Images x (m, C, *size) from their features as `_rows` gives them."""
        columns = self._empty_columns(len(x))
        batched_matmul(self.xp, w.swapaxes(1, 2), rows, columns)
        self.windows.images(columns, x, self.places, len(x) * self.places)

    def _flat(self, a):
        return a.reshape(*a.shape[:2], math.prod(a.shape[2:]))       # -1 fails without pictures
