"""Convolution, Deconvolution and Im2col: windows of images, weighed, scattered or laid out."""

import math

import numpy as np

from ..primitives import im2col
from ..primitives.channels import add_bias, add_sums
from ..primitives.correlation import Geometry, correlation
from .base import Layer, register_layer


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


class WindowLayer(Layer):
    """What the layers of convolution_param share: the geometry of their windows."""

    message = "convolution_param"
    num_bottom, num_top = (1, None), (1, None)

    def setup(self, bottom, top):
        shape = bottom[0].shape
        self.axis = bottom[0].canonical_axis(self.param.axis)
        self.axes = len(shape) - self.axis - 1
        if len(top) != len(bottom):
            raise self.error(f"needs as many tops as bottoms, not {len(top)} for {len(bottom)}")
        if self.axes < 1:
            raise self.error(f"needs spatial axes after axis {self.axis}, the bottom is {shape}")
        if self.xp is not np and self.axes > im2col.MOST_AXES:
            raise self.error(f"has {self.axes} spatial axes, on the GPU there may be at most "
                             f"{im2col.MOST_AXES}")
        self.geometry = self._geometry()
        self.kernel, self.stride, self.pad, self.dilation = self.geometry[:4]
        self.channels = shape[self.axis]

    def _geometry(self):
        p = self.param
        kernel = spatial(p, "kernel", self.axes, None, self.error)
        stride = spatial(p, "stride", self.axes, 1, self.error)
        pad = spatial(p, "pad", self.axes, 0, self.error)
        if len(p.dilation) not in (0, 1, self.axes):
            raise self.error(f"dilation must be given once or {self.axes} times")
        dilation = tuple(p.dilation) if len(p.dilation) == self.axes \
            else (tuple(p.dilation) or (1,)) * self.axes
        for what, values in ("kernel", kernel), ("stride", stride), ("dilation", dilation):
            if min(values) < 1:
                raise self.error(f"{what} must be positive, not {values}")
        return Geometry(kernel, stride, pad, dilation, p.group, p.pad_mode == p.CYCLIC)

    def check_bottoms(self, bottom):
        """All bottoms need the same shape, with the channels and axes of setup."""
        shape = bottom[0].shape
        if len(shape) != self.axis + 1 + self.axes or shape[self.axis] != self.channels:
            fit = f"weights {self.blobs[0].shape}" if self.blobs else "what was set up"
            raise self.error(f"bottom shape {shape} does not fit {fit}: {self.channels} channels "
                             f"and {self.axes} spatial axes were set up")
        if any(b.shape != shape for b in bottom):
            raise self.error(f"all bottoms need the shape {shape}")

    def windows_of(self, size):
        """Number of windows a spatial axis on an image of that size."""
        output = self.geometry.output(size)
        if min(output) < 1:
            raise self.error(f"kernel {self.kernel} with dilation {self.dilation} is larger than "
                             f"its input {size} with pad {self.pad}")
        if self.geometry.cyclic and any(p > s for p, s in zip(self.pad, size)):
            raise self.error(f"pad {self.pad} with pad_mode CYCLIC is larger than the image, "
                             f"{size}")
        return output

    def images(self, blobs, what):
        """Arrays of the blobs as (images, channels, *spatial): views."""
        return [getattr(b, what).reshape(-1, *b.shape[self.axis:]) for b in blobs]

    def diffs(self, blobs, wanted):
        """Diffs as `images` gives them, None where not wanted."""
        return [self.images([b], "diff")[0] if w else None for b, w in zip(blobs, wanted)]


class LearntWindows(WindowLayer):
    """Convolution and Deconvolution, which differ in what `sides` says are images and features."""

    def setup(self, bottom, top):
        super().setup(bottom, top)
        p = self.param
        for what, size in ("num_output", p.num_output), ("number of channels", self.channels):
            if size < 1 or p.group < 1 or size % p.group:
                raise self.error(f"{what} {size} must be a positive multiple of group {p.group}")
        images, features = self.sides(self.channels, p.num_output)
        self.correlation = correlation(self.xp, self.dtype, images, features, self.geometry)
        self.add_blob((features, images // p.group, *self.kernel), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def reshape(self, bottom, top):
        self.check_bottoms(bottom)
        shape = bottom[0].shape
        self.size = shape[self.axis + 1:]
        self.output = self.output_size()
        for blob in top:
            blob.reshape(shape[:self.axis] + (self.param.num_output,) + self.output)
        self.correlation.plan(bottom[0].count(0, self.axis), *self.sides(self.size, self.output))

    def bias(self):
        """The bias, or None."""
        return self.blobs[1].data if self.param.bias_term else None

    def gradients(self):
        """The diffs of the weights and of the bias, None where they aren't wanted or missing."""
        wanted = [blob.diff if flag else None
                  for blob, flag in zip(self.blobs, self.param_propagate_down)]
        return [*wanted, None][:2]


@register_layer("Convolution")
class Convolution(LearntWindows):
    """Correlation of images with learnt kernels, on any number of spatial axes.

    G = group, S_i, O_i the sizes of input and output on spatial axis i, axis the channel axis:
    bottom[k]  x  N x C x S_1 ..        blobs[0]  w  num_output x C/G x kernel_1 ..
    top[k]     y  N x num_output x O_1 ..   blobs[1]  c  (num_output,)   if bias_term
    O_i = floor((S_i + 2 pad_i - dilation_i (kernel_i - 1) - 1) / stride_i) + 1
    forward, X being the columns of all windows:     y = w X + c   (a group at a time)
    backward:   dw += dy X^T     dc += sum of dy over all axes but the channels
                dx = col2im(w^T dy); where stride is 1 and it costs no more arithmetic,
                dx = the convolution of the padded dy with the flipped kernel (same sums)
    pad_mode: the border of width pad holds zeros (ZERO) or the image's other side, as if it went
    on for ever (CYCLIC, an extension of ours; the border's gradient is added where it came from).
    Source: Caffe, base_conv_layer.cpp, conv_layer.cpp.
    """

    @staticmethod
    def sides(bottom, top):
        """(of the images, of the features)."""
        return bottom, top

    def output_size(self):
        return self.windows_of(self.size)

    def forward(self, bottom, top):
        for x, y in zip(self.images(bottom, "data"), self.images(top, "data")):
            self.correlation.to_features(self.blobs[0].data, x, y, self.bias())

    def backward(self, top, propagate_down, bottom):
        correlation = self.correlation
        correlation.start(self.blobs[0].data, *self.gradients(), images=any(propagate_down))
        for x, dx, dy in zip(self.images(bottom, "data"), self.diffs(bottom, propagate_down),
                             self.images(top, "diff")):
            correlation.backward_features(x, dy, dx)
        correlation.finish()


@register_layer("Deconvolution")
class Deconvolution(LearntWindows):
    """The adjoint of Convolution: each entry of the bottom scatters a learnt kernel into the top.

    G = group, S_i, O_i the sizes of input and output on spatial axis i, axis the channel axis:
    bottom[k]  x  N x C x S_1 ..        blobs[0]  w  C x num_output/G x kernel_1 ..
    top[k]     y  N x num_output x O_1 ..   blobs[1]  c  (num_output,)   if bias_term
    O_i = stride_i (S_i - 1) + dilation_i (kernel_i - 1) + 1 - 2 pad_i
    forward:    y = col2im(w^T x) + c   (a group at a time), the border of width pad cut off
    backward, dY being the columns of all windows of dy:
                dx = w dY      dw += x dY^T      dc += sum of dy over all axes but the channels
    With pad_mode CYCLIC, what falls on the border is added to the other side.
    Source: Caffe, base_conv_layer.cpp, deconv_layer.cpp.
    """

    @staticmethod
    def sides(bottom, top):
        """(of the images, of the features): the other way about than in Convolution."""
        return top, bottom

    def output_size(self):
        g = self.geometry
        output = tuple(t * (s - 1) + d * (k - 1) + 1 - 2 * p for s, t, d, k, p in
                       zip(self.size, g.stride, g.dilation, g.kernel, g.pad))
        if min(output) < 1:
            raise self.error(f"pad {self.pad} leaves nothing of an output of "
                             f"{tuple(o + 2 * p for o, p in zip(output, self.pad))}")
        self.windows_of(output)
        return output

    def forward(self, bottom, top):
        for x, y in zip(self.images(bottom, "data"), self.images(top, "data")):
            self.correlation.to_images(self.blobs[0].data, x, y)
            if self.param.bias_term:
                add_bias(self.xp, y, self.bias())

    def backward(self, top, propagate_down, bottom):
        correlation, (dw, dc) = self.correlation, self.gradients()
        correlation.start(self.blobs[0].data, dw)
        for x, dx, dy in zip(self.images(bottom, "data"), self.diffs(bottom, propagate_down),
                             self.images(top, "diff")):
            if dw is not None or dx is not None:
                correlation.backward_images(x, dy, dx)
            if dc is not None:
                add_sums(self.xp, dy, dc)
        correlation.finish()


@register_layer("Im2col")
class Im2col(WindowLayer):
    """The windows that Convolution weighs, laid out as channels.

    bottom[0]  x  N x C x S_1 ..        top[0]  y  N x (C kernel_1 ..) x O_1 ..
    O_i as Convolution's
    forward:   y[n, (c, t_1 ..), o_1 ..] = padded x[n, c, stride_i o_i + dilation_i t_i ..]
    backward:  dx = each dy added to where it came from (col2im)
    Source: im2col_layer.cpp.
    """

    num_bottom = num_top = 1

    def reshape(self, bottom, top):
        self.check_bottoms(bottom)
        shape = bottom[0].shape
        self.size = shape[self.axis + 1:]
        self.output = self.windows_of(self.size)
        self.number = bottom[0].count(0, self.axis)
        self.columns_shape = (self.number, self.channels, *self.kernel, *self.output)
        columns = self.channels * math.prod(self.kernel)
        top[0].reshape(shape[:self.axis] + (columns,) + self.output)
        self._make_buffers()

    def _make_buffers(self):
        if self.xp is np:
            self.padded = np.empty(im2col.padded_shape(self.channels, self.size, self.pad,
                                                       self.number), self.dtype)
        else:
            self.windows = im2col.Windows(self.xp, self.channels, self.size, self.output,
                                          self.geometry)
            places = math.prod(self.output)
            self.steps = self.channels * math.prod(self.kernel) * places, places

    def forward(self, bottom, top):
        im2col.load(self.padded, self.images(bottom, "data")[0], self.pad, self.geometry.cyclic)
        windows = im2col.windows(self.padded, self.kernel, self.stride, self.dilation, self.output)
        top[0].data.reshape(self.columns_shape)[...] = self.xp.moveaxis(windows, -1, 0)

    def forward_gpu(self, bottom, top):
        self.windows.columns(self.images(bottom, "data")[0], top[0].data, *self.steps)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        columns = self.xp.moveaxis(top[0].diff.reshape(self.columns_shape), 0, -1)
        self.padded.fill(0)
        im2col.add_windows(self.padded, columns, self.kernel, self.stride, self.dilation,
                           self.output)
        if self.geometry.cyclic:
            im2col.unwrap(self.padded, self.pad)
        im2col.store(self.images(bottom, "diff")[0], self.padded, self.pad)

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.windows.images(top[0].diff, self.images(bottom, "diff")[0], *self.steps)
