"""Relatives of ReLU by channels: PReLU and MaxMin; both may be in place."""

from ..backend import Kernels
from ..blob import Blob
from ..primitives.device_loops import channel_sums, entries
from ..primitives.elementwise import Blocks
from .base import Layer, register_layer

_PRELU = Kernels("prelu", entries("values", "x", "y", "y = x > 0 ? x : a * x;", columns="a")
                 + entries("values_kept", "x", "y kept", "kept = x; y = x > 0 ? x : a * x;",
                           columns="a")
                 + entries("gradient", "x dy", "dx", "dx = x > 0 ? dy : a * dy;", columns="a")
                 + channel_sums("sums", "x dy", ["x > 0 ? 0 : (double)dy * x"]))


@register_layer("PReLU")
class PReLU(Layer):
    """Rectified linear unit with a slope learnt for each channel, or for all together.

    bottom[0]  x  (N, C, ...)        blobs[0]  a  (C,), or () if channel_shared; default filler 0.25
    top[0]     y  the same
    forward:   y = max(x, 0) + a min(x, 0)
    backward:  dx = dy where x > 0, a dy elsewhere        da_c += sum over x_c <= 0 of dy x
    In place, a copy of x is kept.
    Source: prelu_layer.cpp; He et al., ICCV 2015.
    """

    message = "prelu_param"

    def setup(self, bottom, top):
        if bottom[0].num_axes < 2:
            raise self.error(f"the bottom must have at least 2 axes (N, C, ...), "
                             f"not {bottom[0].shape}")
        shape = () if self.param.channel_shared else (bottom[0].shape[1],)
        self.add_blob(shape, self.filler("filler", 0.25))
        self.input = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        x = bottom[0]
        if x.num_axes < 2 or self.blobs[0].shape not in ((), (x.shape[1],)):
            raise self.error(f"a bottom of shape {x.shape} does not fit slopes of shape "
                             f"{self.blobs[0].shape}")
        top[0].reshape_like(x)
        if x is top[0]:
            self.input.reshape_like(x)
        shape = (x.size, 1, 1) if self.param.channel_shared \
            else (x.shape[0], x.shape[1], x.count(2))
        self.blocks = Blocks(self.xp, *shape)
        self.sums = self.blocks.buffer(1)

    def forward(self, bottom, top):
        x, y = bottom[0].data, top[0].data
        a, usual = self._slopes()

        def values(at, x, y, *rest):
            *kept, leak = rest
            for copy in kept:
                copy[...] = x
            if usual:                                      # then a x <= x just where x >= 0
                self.xp.multiply(x, a[at[1]], out=leak)
                self.xp.maximum(x, leak, out=y)
            else:
                self.xp.minimum(x, 0, out=leak)
                leak *= a[at[1]]
                self.xp.maximum(x, 0, out=y)
                y += leak

        kept = [self.input.data] if bottom[0] is top[0] else []
        self.blocks.map(values, *self._cut(x, y, *kept), scratch=1)

    def forward_gpu(self, bottom, top):
        x, y, a = bottom[0].data, top[0].data, self.blobs[0].data
        if bottom[0] is top[0]:
            self.blocks.launch(_PRELU, "values_kept", x, y, self.input.data, a)
        else:
            self.blocks.launch(_PRELU, "values", x, y, a)

    def backward(self, top, propagate_down, bottom):
        (a, usual), sums = self._slopes(), self.sums
        x = self.input.data if bottom[0] is top[0] else bottom[0].data
        sums.fill(0)

        def gradient(at, x, dy, dx, low, factor):
            if self.param_propagate_down[0]:
                self.xp.minimum(x, 0, out=low)
                sums[0][at] += self.xp.einsum("ncs,ncs->c", dy, low)
            if propagate_down[0]:
                self.xp.greater(x, 0, out=factor)
                if usual:
                    self.xp.maximum(factor, a[at[1]], out=factor)
                else:
                    self.xp.less_equal(x, 0, out=low)
                    low *= a[at[1]]
                    factor += low
                self.xp.multiply(dy, factor, out=dx)

        self.blocks.map(gradient, *self._cut(x, top[0].diff, bottom[0].diff), scratch=2)
        if self.param_propagate_down[0]:
            self.blobs[0].diff += sums[0].sum(axis=0).reshape(self.blobs[0].shape)

    def backward_gpu(self, top, propagate_down, bottom):
        x = self.input.data if bottom[0] is top[0] else bottom[0].data
        dy, blob = top[0].diff, self.blobs[0]
        if self.param_propagate_down[0]:
            self.blocks.launch_sums(_PRELU, "sums", self.sums, x, dy)
            self.blocks.add_total(self.sums, blob.diff)
        if propagate_down[0]:
            self.blocks.launch(_PRELU, "gradient", x, dy, bottom[0].diff, blob.data)

    def _slopes(self):
        """The slopes as a column, and whether all are in 0 .. 1, for which quicker steps do."""
        a = self.blobs[0].data.reshape(-1, 1)
        return a, bool(((a >= 0) & (a <= 1)).all())

    def _cut(self, *arrays):
        return [a.reshape(self.blocks.shape) for a in arrays]


_MAX_MIN = Kernels("max_min", """
extern "C" __global__ void values(Index n, Index half, const Real *x, Real *y, bool *swapped)
{
    GRID_LOOP(i, n) {
        const Index a = i + i / half * half, b = a + half;
        const Real first = x[a], second = x[b];
        swapped[i] = first < second;
        y[a] = first < second || second != second ? second : first;     // a NaN goes to both
        y[b] = first < second || first != first ? first : second;
    }
}

extern "C" __global__ void gradient(Index n, Index half, const Real *dy, Real *dx,
                                    const bool *swapped)
{
    GRID_LOOP(i, n) {
        const Index a = i + i / half * half, b = a + half;
        const Real first = dy[a], second = dy[b];
        dx[a] = swapped[i] ? second : first;
        dx[b] = swapped[i] ? first : second;
    }
}
""")


@register_layer("MaxMin")
class MaxMin(Layer):
    """Sort pairs of slices: an activation that keeps the norm of gradients.

    The axis has C = 2h slices; slice i is paired with slice i + h:
    bottom[0]  x  (..., C, ...)        top[0]  y  the same
    forward:   y_i = max(x_i, x_{i+h})     y_{i+h} = min(x_i, x_{i+h})       i = 0 .. h-1
    backward:  each dy goes where the value came from; on a tie dx = dy, as if x_i were the larger
    Source: Anil, Lucas and Grosse, ICML 2019, Section 4.2.
    """

    message = "max_min_param"

    def setup(self, bottom, top):
        self.swapped = Blob(dtype=bool)

    def reshape(self, bottom, top):
        x, axis = bottom[0], bottom[0].canonical_axis(self.param.axis)
        if x.shape[axis] % 2:
            raise self.error(f"size {x.shape[axis]} of axis {axis} is odd: slices come in pairs")
        top[0].reshape_like(x)
        self.outer, self.half = x.count(0, axis), x.count(axis) // 2
        self.swapped.reshape(self.outer, self.half)
        self.blocks = Blocks(self.xp, self.outer, self.half, 1)

    def forward(self, bottom, top):
        def values(at, a, b, larger, smaller, swapped, work):
            self.xp.less(a, b, out=swapped)
            self.xp.minimum(a, b, out=work)
            self.xp.maximum(a, b, out=larger)
            smaller[...] = work

        self.blocks.map(values, *self._halves(bottom[0].data), *self._halves(top[0].data),
                        self.swapped.data, scratch=1)

    def forward_gpu(self, bottom, top):
        n = self.swapped.size
        _MAX_MIN("values", self.dtype, n, n, self.half, bottom[0].data, top[0].data,
                 self.swapped.data)

    def backward(self, top, propagate_down, bottom):
        def gradient(at, larger, smaller, da, db, swapped, both):
            self.xp.bitwise_xor(larger, smaller, out=both)
            both *= swapped
            self.xp.bitwise_xor(larger, both, out=da)      # da may be the memory of `larger`,
            self.xp.bitwise_xor(smaller, both, out=db)     # db that of `smaller`

        if propagate_down[0]:
            whole = f"i{self.dtype.itemsize}"              # bits, to be swapped by exclusive or
            self.blocks.map(gradient, *self._halves(top[0].diff.view(whole)),
                            *self._halves(bottom[0].diff.view(whole)), self.swapped.data, scratch=1)

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            n = self.swapped.size
            _MAX_MIN("gradient", self.dtype, n, n, self.half, top[0].diff, bottom[0].diff,
                     self.swapped.data)

    def _halves(self, a):
        """The first and the second half of the slices, each (outer, half): views."""
        a = a.reshape(self.outer, 2, self.half)
        return a[:, 0], a[:, 1]
