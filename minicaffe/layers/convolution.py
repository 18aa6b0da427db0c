"""Convolution, computed in chunks of images that stay in cache and that threads share out."""

import math

from ..primitives import im2col
from ..primitives.parallel import for_each, num_threads
from .base import Layer, register_layer

_COLUMN_BYTES = 1 << 21            # of one chunk's columns: about what a second-level cache holds
_ROW = 96                          # numbers that a copied row should have at least
_PARTIAL_BYTES = 1 << 24           # of all partial weight gradients together
_MOST_LANES = 8


def spatial(param, name, axes, default, error):
    """A convolution or pooling size per spatial axis: the repeated field or its _h and _w forms."""
    values = list(getattr(param, "kernel_size" if name == "kernel" else name))
    pair = [f"{name}_h", f"{name}_w"]
    if any(param.HasField(f) for f in pair):
        if axes != 2 or values:
            raise error(f"{pair[0]} and {pair[1]} are for two spatial axes, instead of {name}")
        return tuple(getattr(param, f) for f in pair)
    if len(values) not in (0, 1, axes) or not (values or default is not None):
        raise error(f"{name} must be given once or {axes} times, not {len(values)}")
    return tuple(values if len(values) == axes else (values or [default]) * axes)


@register_layer("Convolution")
class Convolution(Layer):
    """Correlation of images with learnt kernels, on any number of spatial axes.

    G = group, S_i, O_i the sizes of input and output on spatial axis i, axis the channel axis:
    bottom[k]  x  N x C x S_1 ..        blobs[0]  w  num_output x C/G x kernel_1 ..
    top[k]     y  N x num_output x O_1 ..   blobs[1]  c  (num_output,)   if bias_term
    O_i = floor((S_i + 2 pad_i - dilation_i (kernel_i - 1) - 1) / stride_i) + 1
    forward, X being the columns of all windows:     y = w X + c   (a group at a time)
    backward:   dw += dy X^T     dc += sum of dy over all axes but the channels
                dx = col2im(w^T dy); where stride is 1 and it costs no more arithmetic,
                dx = the convolution of the padded dy with the flipped kernel (same sums)
    Source: Caffe, base_conv_layer.cpp, conv_layer.cpp.
    """

    message = "convolution_param"
    num_bottom, num_top = (1, None), (1, None)

    def setup(self, bottom, top):
        p, shape = self.param, bottom[0].shape
        self.axis = bottom[0].canonical_axis(p.axis)
        self.axes = len(shape) - self.axis - 1
        if len(top) != len(bottom):
            raise self.error(f"needs as many tops as bottoms, not {len(top)} for {len(bottom)}")
        if self.axes < 1:
            raise self.error(f"needs spatial axes after axis {self.axis}, the bottom is {shape}")
        self.kernel = spatial(p, "kernel", self.axes, None, self.error)
        self.stride = spatial(p, "stride", self.axes, 1, self.error)
        self.pad = spatial(p, "pad", self.axes, 0, self.error)
        if len(p.dilation) not in (0, 1, self.axes):
            raise self.error(f"dilation must be given once or {self.axes} times")
        self.dilation = tuple(p.dilation) if len(p.dilation) == self.axes \
            else (tuple(p.dilation) or (1,)) * self.axes
        for what in "kernel", "stride", "dilation":
            if min(getattr(self, what)) < 1:
                raise self.error(f"{what} must be positive, not {getattr(self, what)}")
        self.channels = shape[self.axis]
        for what, size in ("num_output", p.num_output), ("number of channels", self.channels):
            if size < 1 or p.group < 1 or size % p.group:
                raise self.error(f"{what} {size} must be a positive multiple of group {p.group}")
        self.add_blob((p.num_output, self.channels // p.group, *self.kernel), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if len(shape) != self.axis + 1 + self.axes or shape[self.axis] != self.channels:
            raise self.error(f"bottom shape {shape} does not fit weights {self.blobs[0].shape}: "
                             f"{self.channels} channels and {self.axes} spatial axes were set up")
        if any(b.shape != shape for b in bottom):
            raise self.error(f"all bottoms need the shape {shape}")
        self.size = shape[self.axis + 1:]
        self.output = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1 for s, p, d, k, t in
                            zip(self.size, self.pad, self.dilation, self.kernel, self.stride))
        if min(self.output) < 1:
            raise self.error(f"kernel {self.kernel} with dilation {self.dilation} is larger than "
                             f"its input {self.size} with pad {self.pad}")
        self.images = bottom[0].count(0, self.axis)
        for blob in top:
            blob.reshape(shape[:self.axis] + (self.param.num_output,) + self.output)
        self._plan()

    def _plan(self):
        """Images a chunk, lanes of chunks, and the way to the bottom gradient: by shapes only."""
        num_output, group = self.param.num_output, self.param.group
        taps, places = math.prod(self.kernel), math.prod(self.output)
        column_bytes = self.channels * taps * places * self.dtype.itemsize
        chunk = max(_COLUMN_BYTES // column_bytes, -(-_ROW // self.output[-1]))
        chunks = -(-self.images // chunk)
        chunks += chunks % 2 if self.images > 1 else 0
        self.chunk = -(-self.images // chunks)
        partials = _PARTIAL_BYTES // max(1, self.blobs[0].size * self.dtype.itemsize)
        self.lanes = max(1, min(chunks, _MOST_LANES, max(2, partials)))
        self.reach = tuple(d * (k - 1) - p for d, k, p in
                           zip(self.dilation, self.kernel, self.pad))   # border of the padded dy
        self.flipped = (set(self.stride) == {1} and min(self.reach) >= 0
                        and num_output * math.prod(self.size) <= 1.3 * self.channels * places)
        self.pointwise = taps == 1 and set(self.stride) == {1} and not any(self.pad)
        self.work = [im2col.Workspace(self.dtype) for _ in range(num_threads)]
        self.weights_shape = (group, num_output // group, self.channels // group * taps)

    def forward(self, bottom, top):
        w = self.blobs[0].data.reshape(self.weights_shape)
        for x, y in zip(self._images(bottom, "data"), self._images(top, "data")):
            def lane(first, worker):
                work = self.work[worker]
                for part in self._parts(first):
                    out = work.get("out", (self.param.num_output, *self.output, len(x[part])))
                    self.xp.matmul(w, self._columns(x[part], work), out=self._grouped(out))
                    if self.param.bias_term:
                        rows = out.reshape(len(out), -1)
                        rows += self.blobs[1].data[:, None]
                    im2col.store(y[part], out, (0,) * self.axes)

            for_each(lane, self.lanes)

    def backward(self, top, propagate_down, bottom):
        need = [self.param_propagate_down[i] for i in range(len(self.blobs))] + [False]
        to_bottom = self._flipped_weights() if self.flipped else \
            self.blobs[0].data.reshape(self.weights_shape).transpose(0, 2, 1)
        group, outputs, inputs = self.weights_shape
        dw = self.xp.zeros((self.lanes, group, inputs, outputs), self.dtype)    # transposed
        dc = self.xp.zeros((self.lanes, self.param.num_output), self.dtype)
        for i, dy in enumerate(self._images(top, "diff")):
            x, dx = bottom[i], None
            if propagate_down[i]:
                dx = self._images([bottom[i]], "diff")[0]
            x = self._images([bottom[i]], "data")[0]

            def lane(first, worker):
                work = self.work[worker]
                for part in self._parts(first):
                    g = work.get("out", (self.param.num_output, *self.output, len(x[part])))
                    im2col.load(g, dy[part], (0,) * self.axes)
                    if need[0]:
                        product = work.get("dw", dw.shape[1:])
                        columns = self._columns(x[part], work)
                        self.xp.matmul(columns, self._grouped(g).transpose(0, 2, 1), out=product)
                        dw[first] += product
                    if need[1]:
                        dc[first] += g.reshape(len(g), -1).sum(axis=1)
                    if dx is not None:
                        self._bottom_gradient(g, to_bottom, dx[part], work)

            for_each(lane, self.lanes)
        if need[0]:
            total = dw.sum(axis=0).transpose(0, 2, 1)
            self.blobs[0].diff += total.reshape(self.blobs[0].shape)
        if need[1]:
            self.blobs[1].diff += dc.sum(axis=0)

    def _columns(self, x, work):
        """The windows of images x (m, C, *size) as (G, C/G * taps, places * m)."""
        m = len(x)
        padded = work.get("padded", im2col.padded_shape(self.channels, self.size, self.pad, m))
        im2col.load(padded, x, self.pad)
        if self.pointwise:
            return self._grouped(padded)
        columns = work.get("columns", (self.channels, *self.kernel, *self.output, m))
        columns[...] = im2col.windows(padded, self.kernel, self.stride, self.dilation, self.output)
        return columns.reshape(self.param.group, self.weights_shape[2], -1)

    def _bottom_gradient(self, g, w, dx, work):
        """Write dx (m, C, *size) from the chunk's top gradient g (num_output, *output, m)."""
        m, group = len(dx), self.param.group
        if self.flipped:
            border = im2col.padded_shape(len(g), self.output, self.reach, m)
            padded = work.get("padded", border)
            if any(self.reach):
                padded.fill(0)
            im2col.interior(padded, self.reach)[...] = g
            columns = work.get("columns", (len(g), *self.kernel, *self.size, m))
            columns[...] = im2col.windows(padded, self.kernel, self.stride, self.dilation,
                                          self.size)
            chunk = work.get("dx", (self.channels, *self.size, m))
            self.xp.matmul(w, columns.reshape(group, w.shape[2], -1), out=self._grouped(chunk))
            im2col.store(dx, chunk, (0,) * self.axes)
            return
        columns = work.get("columns", (self.channels, *self.kernel, *self.output, m))
        self.xp.matmul(w, self._grouped(g),
                       out=columns.reshape(group, self.weights_shape[2], -1))
        padded = work.get("padded", im2col.padded_shape(self.channels, self.size, self.pad, m))
        padded.fill(0)
        im2col.add_windows(padded, columns, self.kernel, self.stride, self.dilation, self.output)
        im2col.store(dx, padded, self.pad)

    def _flipped_weights(self):
        """w with kernels reversed and inputs and outputs exchanged: (G, C/G, num_output/G * taps)."""
        group, outputs, _ = self.weights_shape
        w = self.blobs[0].data.reshape(group, outputs, -1, *self.kernel)
        w = self.xp.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2)
        return self.xp.ascontiguousarray(w).reshape(group, w.shape[1], -1)

    def _images(self, blobs, what):
        """Arrays of the blobs as (images, channels, *spatial): views."""
        return [getattr(b, what).reshape(-1, *b.shape[self.axis:]) for b in blobs]

    def _grouped(self, a):
        """(channels, ...) as (G, channels/G, everything else): a view."""
        return a.reshape(self.param.group, a.shape[0] // self.param.group, -1)

    def _parts(self, first):
        """The slices of images that lane `first` works through."""
        step = self.chunk * self.lanes
        for start in range(first * self.chunk, self.images, step):
            yield slice(start, min(start + self.chunk, self.images))
