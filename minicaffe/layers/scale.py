"""Scale, Bias and Affine: factors and summands that lie along some axes of the bottom."""

import math

from ..backend import Kernels
from ..blob import Blob
from ..primitives.device_loops import channel_sums, entries
from ..primitives.elementwise import Blocks
from .base import Layer, register_layer

_VALUES = {"g": "y = g * x;", "b": "y = x + b;", "gb": "y = g * x + b;"}
_TERMS = {"g": "(double)dy * x", "b": "dy"}
_SCALE = Kernels("scale", "".join(
    [entries(f"values_{have}", "x", "y", body, columns=" ".join(have))
     + entries(f"values_{have}_kept", "x", "y kept", "kept = x; " + body, columns=" ".join(have))
     for have, body in _VALUES.items()]
    + [channel_sums(f"sums_{want}", "x dy", [_TERMS[term] for term in want]) for want in _VALUES]))


class ScaleShift(Layer):
    """y = g x + b with g and b, or one of them, broadcast from `axis` on; may work in place.

    A subclass gives operands(bottom): the blobs of g and b (None: there is none). Those that are
    bottoms get an overwritten diff, parameters an added one.
    """

    num_bottom = (1, 2)

    def own_shape(self, bottom):
        """The shape of parameters: num_axes axes of bottom[0] from `axis` on (-1: all the rest)."""
        x, number = bottom[0], self.param.num_axes
        axis = x.canonical_axis(self.param.axis)
        end = x.num_axes if number == -1 else axis + number
        if number < -1 or end > x.num_axes:
            raise self.error(f"num_axes {number} from axis {axis} on does not fit a bottom of "
                             f"shape {x.shape}")
        return x.shape[axis:end]

    def setup(self, bottom, top):
        self.input = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        x, blobs = bottom[0], [b for b in self.operands(bottom) if b is not None]
        shape = blobs[0].shape
        axis = x.canonical_axis(self.param.axis) if shape else 0
        end = axis + len(shape)
        if x.shape[axis:end] != shape:
            what = "bottom 1" if len(bottom) > 1 else "parameters"
            raise self.error(f"{what} of shape {shape} does not fit a bottom of shape {x.shape} "
                             f"from axis {axis} on")
        top[0].reshape_like(x)
        cut = (x.count(0, axis), math.prod(shape), x.count(end)) if shape else (x.size, 1, 1)
        self.blocks = Blocks(self.xp, *cut)
        self.sums = self.blocks.buffer(len(blobs))
        self.keeps_input = x is top[0] and self.operands(bottom)[0] is not None
        if self.keeps_input:
            self.input.reshape_like(x)

    def forward(self, bottom, top):
        xp, (g, b) = self.xp, map(_column, self.operands(bottom))

        def values(at, x, y, *kept):
            for copy in kept:
                copy[...] = x
            if g is not None:
                x = xp.multiply(x, g[at[1]], out=y)
            if b is not None:
                xp.add(x, b[at[1]], out=y)

        kept = [self.input.data] if self.keeps_input else []
        self.blocks.map(values, *self._cut(bottom[0].data, top[0].data, *kept))

    def forward_gpu(self, bottom, top):
        operands, kept = self.operands(bottom), [self.input.data] if self.keeps_input else []
        function = f"values_{_letters(operands)}" + "_kept" * self.keeps_input
        self.blocks.launch(_SCALE, function, bottom[0].data, top[0].data, *kept,
                           *(blob.data for blob in operands if blob is not None))

    def backward(self, top, propagate_down, bottom):
        operands, sums = self.operands(bottom), self.sums
        wanted = self._wanted(operands, bottom, propagate_down)
        g, x = _column(operands[0]), self.input.data if self.keeps_input else bottom[0].data
        sums.fill(0)

        def gradient(at, x, dy, dx):
            if wanted[0]:
                sums[0][at] += self.xp.einsum("ncs,ncs->c", dy, x)
            if wanted[1]:
                sums[-1][at] += self.xp.einsum("ncs->c", dy)
            if propagate_down[0] and g is not None:
                self.xp.multiply(dy, g[at[1]], out=dx)
            elif propagate_down[0] and bottom[0] is not top[0]:
                dx[...] = dy

        self.blocks.map(gradient, *self._cut(x, top[0].diff, bottom[0].diff))
        for blob, want, total in zip(operands, wanted, (sums[0], sums[-1])):
            if want:
                total = total.sum(axis=0).reshape(blob.shape)
                if blob in bottom:
                    blob.diff[...] = total
                else:
                    blob.diff += total.astype(self.dtype)

    def backward_gpu(self, top, propagate_down, bottom):
        operands, sums = self.operands(bottom), iter(self.sums)
        wanted = self._wanted(operands, bottom, propagate_down)
        x, dy = (self.input if self.keeps_input else bottom[0]).data, top[0].diff
        wanted = [blob if want else None for blob, want in zip(operands, wanted)]
        if any(wanted):
            self.blocks.launch_sums(_SCALE, f"sums_{_letters(wanted)}", self.sums, x, dy)
        for blob in filter(None, wanted):
            total = self.blocks.write_total if blob in bottom else self.blocks.add_total
            total(next(sums), blob.diff)
        if propagate_down[0] and operands[0] is not None:
            self.blocks.launch(_SCALE, "values_g", dy, bottom[0].diff, operands[0].data)
        elif propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].diff[...] = dy

    def _wanted(self, operands, bottom, propagate_down):
        """Whether the gradients of g and of b are asked for."""
        return [blob is not None and (propagate_down[1] if blob in bottom else
                                      self.param_propagate_down[self.blobs.index(blob)])
                for blob in operands]

    def _cut(self, *arrays):
        return [a.reshape(self.blocks.shape) for a in arrays]


def _letters(operands):
    """"g", "b" or "gb": which of the two there are."""
    return "".join(letter for letter, blob in zip("gb", operands) if blob is not None)


def _column(blob):
    """A blob's values as (count, 1)."""
    return blob if blob is None else blob.data.reshape(-1, 1)


@register_layer("Scale")
class Scale(ScaleShift):
    """Product with factors that lie along some axes, and a sum likewise.

    bottom[0]  x  (d_0, ..., d_n)    bottom[1] or blobs[0]  g  (d_axis, ..., d_{axis+num_axes-1})
    top[0]     y  the same           the last of blobs      b  like g, if bias_term
    With bottom[1], its shape stands for num_axes; g of shape (), num_axes 0, is one factor.
    forward:   y = g x + b
    backward:  dx = g dy      dg = sum of dy x over all other axes      db = that of dy
    (dg overwrites a bottom's diff, and is added to a parameter's.) In place, a copy of x is kept.
    Default fillers: 1 for g, 0 for b.
    Source: scale_layer.cpp.
    """

    message = "scale_param"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        p, shape = self.param, bottom[1].shape if len(bottom) > 1 else self.own_shape(bottom)
        if len(bottom) == 1:
            self.add_blob(shape, self.filler("filler", 1))
        if p.bias_term:
            self.add_blob(shape, p.bias_filler)

    def operands(self, bottom):
        return (bottom[1] if len(bottom) > 1 else self.blobs[0],
                self.blobs[-1] if self.param.bias_term else None)


@register_layer("Bias")
class Bias(ScaleShift):
    """Sum with values that lie along some axes.

    bottom[0]  x  (d_0, ..., d_n)    bottom[1] or blobs[0]  b  (d_axis, ..., d_{axis+num_axes-1})
    top[0]     y  the same           (with bottom[1], its shape stands for num_axes)
    forward:   y = x + b
    backward:  dx = dy      db = sum of dy over all other axes (a bottom's diff is overwritten)
    Source: bias_layer.cpp.
    """

    message = "bias_param"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        if len(bottom) == 1:
            self.add_blob(self.own_shape(bottom), self.param.filler)

    def operands(self, bottom):
        return None, bottom[1] if len(bottom) > 1 else self.blobs[0]


@register_layer("Affine")
class Affine(ScaleShift):
    """A factor and a summand for each channel: Scale with bias_term, of one axis.

    C = bottom.shape[axis]:
    bottom[0]  x  (..., C, ...)        blobs[0]  g  (C,)  scale_filler, default 1
    top[0]     y  the same             blobs[1]  b  (C,)  shift_filler, default 0
    forward:   y_c = g_c x_c + b_c
    backward:  dx_c = g_c dy_c      dg_c = sum of dy_c x_c      db_c = sum of dy_c
    Source: scale_layer.cpp.
    """

    message = "affine_param"
    num_bottom = 1

    def setup(self, bottom, top):
        super().setup(bottom, top)
        channels = bottom[0].shape[bottom[0].canonical_axis(self.param.axis)]
        self.add_blob((channels,), self.filler("scale_filler", 1))
        self.add_blob((channels,), self.filler("shift_filler", 0))

    def operands(self, bottom):
        return self.blobs
