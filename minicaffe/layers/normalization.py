"""MVN and LayerNorm: each sample, or each of its channels, to mean 0 and variance 1."""

from ..backend import Kernels
from ..blob import Blob
from ..primitives.device_loops import BLOCK_SUM, channel_sums
from ..primitives.elementwise import Blocks
from .base import Layer, register_layer


def centre(xp, x, out):
    """out = x less its mean over the last axis."""
    mean = xp.add.reduce(x, axis=-1, keepdims=True)
    mean /= x.shape[-1]
    xp.subtract(x, mean, out=out)


def mean_product(xp, a, b):
    """The mean of a b over the last axis, which stays with size 1."""
    return xp.einsum("ncs,ncs->nc", a, b)[..., None] / a.dtype.type(a.shape[-1])


# One block a row, whose `size` entries its threads share.
_ROW = """
    const Index row = (Index)blockIdx.x * size;
    double sum = 0, product = 0;
    #define ROW_LOOP for (Index i = row + threadIdx.x; i < row + size; i += blockDim.x)"""
_MEAN_AND_SQUARES = _ROW + """
    ROW_LOOP sum += x[i];
    const Real mean = block_sum(sum) / size;
    ROW_LOOP product += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double variance = block_sum(product) / size;
"""
_MVN = Kernels("mvn", BLOCK_SUM + """
extern "C" __global__ void values(Index size, Index divide, double eps, const Real *x, Real *y,
                                  Real *deviation)
{
""" + _MEAN_AND_SQUARES + """
    const Real root = divide ? sqrt(variance) + eps : 1;
    ROW_LOOP y[i] = (x[i] - mean) / root;
    if (threadIdx.x == 0) deviation[blockIdx.x] = root;
}

extern "C" __global__ void gradient(Index size, Index divide, const Real *y, const Real *dy,
                                    Real *dx, const Real *deviation)
{
""" + _ROW + """
    ROW_LOOP { sum += dy[i]; product += (double)dy[i] * y[i]; }
    const Real mean = block_sum(sum) / size, mean_product = block_sum(product) / size;
    if (divide) {
        const Real root = deviation[blockIdx.x];
        ROW_LOOP dx[i] = (dy[i] - mean - y[i] * mean_product) / root;
    } else {
        ROW_LOOP dx[i] = dy[i] - mean;
    }
}
""")


@register_layer("MVN")
class MVN(Layer):
    """Take off the mean and divide by the standard deviation, of one channel or a whole sample.

    Means over each channel of each sample, or each sample if across_channels; may be in place:
    bottom[0]  x  (N, C, ...)        top[0]  y  the same
    forward:   d = x - mean x        y = d / (sqrt(mean d^2) + eps), or d if not normalize_variance
    backward:  dx = (dy - mean dy - y mean(dy y)) / (sqrt(mean d^2) + eps), or dy - mean dy
    As in Caffe the gradient leaves eps aside: it is exact for eps = 0.
    Source: mvn_layer.cpp.
    """

    message = "mvn_param"

    def reshape(self, bottom, top):
        x = bottom[0]
        axes = 1 if self.param.across_channels else 2
        if x.num_axes < axes:
            raise self.error(f"the bottom must have at least {axes} axes, not {x.shape}")
        top[0].reshape_like(x)
        self.blocks = Blocks(self.xp, 1, x.count(0, axes), x.count(axes))      # a row stays whole
        self.deviation = self.xp.zeros((1, x.count(0, axes), 1), self.dtype)

    def forward(self, bottom, top):
        def values(at, x, y, deviation):
            centre(self.xp, x, out=y)
            if self.param.normalize_variance:
                self.xp.sqrt(mean_product(self.xp, y, y), out=deviation)
                deviation += self.param.eps
                y /= deviation

        self.blocks.map(values, *self._cut(bottom[0].data, top[0].data), self.deviation)

    def forward_gpu(self, bottom, top):
        _, rows, size = self.blocks.shape
        _MVN.by_blocks("values", self.dtype, rows, size, int(self.param.normalize_variance),
                       float(self.param.eps), bottom[0].data, top[0].data, self.deviation)

    def backward(self, top, propagate_down, bottom):
        def gradient(at, y, dy, dx, deviation, work):
            if self.param.normalize_variance:
                self.xp.multiply(y, mean_product(self.xp, dy, y), out=work)
                centre(self.xp, dy, out=dx)
                dx -= work
                dx /= deviation
            else:
                centre(self.xp, dy, out=dx)

        if propagate_down[0]:
            self.blocks.map(gradient, *self._cut(top[0].data, top[0].diff, bottom[0].diff),
                            self.deviation, scratch=1)

    def backward_gpu(self, top, propagate_down, bottom):
        _, rows, size = self.blocks.shape
        if propagate_down[0]:
            _MVN.by_blocks("gradient", self.dtype, rows, size, int(self.param.normalize_variance),
                           top[0].data, top[0].diff, bottom[0].diff, self.deviation)

    def _cut(self, *arrays):
        return [a.reshape(self.blocks.shape) for a in arrays]


_LAYER_NORM = Kernels("layer_norm", BLOCK_SUM + """
extern "C" __global__ void values(Index size, Index affine, double eps, const Real *x, Real *y,
                                  Real *h, Real *inverses, const Real *g, const Real *b)
{
""" + _MEAN_AND_SQUARES + """
    const Real inverse = 1 / sqrt(variance + eps);
    ROW_LOOP {
        const Real normalized = (x[i] - mean) * inverse;
        h[i] = normalized;
        y[i] = affine ? normalized * g[i - row] + b[i - row] : normalized;
    }
    if (threadIdx.x == 0) inverses[blockIdx.x] = inverse;
}

extern "C" __global__ void gradient(Index size, Index affine, const Real *h, const Real *dy,
                                    Real *dx, const Real *inverses, const Real *g)
{
""" + _ROW + """
    #define FACTOR (affine ? g[i - row] : (Real)1)
    ROW_LOOP { sum += dy[i] * FACTOR; product += (double)dy[i] * FACTOR * h[i]; }
    const Real mean = block_sum(sum) / size, mean_product = block_sum(product) / size;
    const Real inverse = inverses[blockIdx.x];
    ROW_LOOP dx[i] = (dy[i] * FACTOR - mean - h[i] * mean_product) * inverse;
}
""" + channel_sums("sums", "h dy", ["(double)dy * h", "dy"]))


@register_layer("LayerNorm")
class LayerNorm(Layer):
    """Each sample to mean 0 and variance 1 over all axes from `axis` on; may be in place.

    M = bottom.count(0, axis), K = bottom.count(axis); means over K:
    bottom[0]  x  M x K        blobs[0]  g  (d_axis, ...)  if affine; scale_filler, default 1
    top[0]     y  M x K        blobs[1]  b  (d_axis, ...)  if affine; shift_filler, default 0
    forward:   d = x - mean x      h = d / sqrt(mean d^2 + eps)      y = g h + b
    backward:  e = g dy            dx = (e - mean e - h mean(e h)) / sqrt(mean d^2 + eps)
               dg += sum over M of dy h          db += sum over M of dy
    Source: Ba, Kiros and Hinton, arXiv:1607.06450, equation (4).
    """

    message = "layer_norm_param"

    def setup(self, bottom, top):
        p = self.param
        self.normalized = Blob(dtype=self.dtype)
        if p.affine:
            shape = bottom[0].shape[bottom[0].canonical_axis(p.axis):]
            self.add_blob(shape, self.filler("scale_filler", 1))
            self.add_blob(shape, self.filler("shift_filler", 0))

    def reshape(self, bottom, top):
        x, axis = bottom[0], bottom[0].canonical_axis(self.param.axis)
        if self.param.affine and self.blobs[0].shape != x.shape[axis:]:
            raise self.error(f"a bottom of shape {x.shape} does not fit a scale of shape "
                             f"{self.blobs[0].shape} from axis {axis} on")
        rows, size = x.count(0, axis), x.count(axis)
        top[0].reshape_like(x)
        self.normalized.reshape_like(x)
        self.blocks = Blocks(self.xp, 1, rows, size)                           # a row stays whole
        self.inverse = self.xp.zeros((1, rows, 1), self.dtype)
        self.by_entry = Blocks(self.xp, rows, size, 1)
        self.sums = self.by_entry.buffer(2 if self.param.affine else 0)

    def forward(self, bottom, top):
        xp = self.xp
        g, b = [blob.data.reshape(-1) for blob in self.blobs] or (None, None)

        def values(at, x, y, h, inverse):
            centre(xp, x, out=h)
            xp.sqrt(mean_product(xp, h, h) + self.param.eps, out=inverse)
            xp.reciprocal(inverse, out=inverse)
            if g is None:
                xp.multiply(h, inverse, out=h)
                y[...] = h
            else:
                h *= inverse
                xp.multiply(h, g, out=y)
                y += b

        arrays = self._cut(self.blocks, bottom[0].data, top[0].data, self.normalized.data)
        self.blocks.map(values, *arrays, self.inverse)

    def forward_gpu(self, bottom, top):
        (_, rows, size), h = self.blocks.shape, self.normalized.data
        g, b = [blob.data for blob in self.blobs] or (h, h)              # not read unless affine
        _LAYER_NORM.by_blocks("values", self.dtype, rows, size, int(self.param.affine),
                              float(self.param.eps), bottom[0].data, top[0].data, h, self.inverse,
                              g, b)

    def backward(self, top, propagate_down, bottom):
        xp, h, dy = self.xp, self.normalized.data, top[0].diff
        if self.param.affine and any(self.param_propagate_down):
            self._add_param_diffs(h, dy)
        g = self.blobs[0].data.reshape(-1) if self.param.affine else None

        def gradient(at, h, dy, dx, inverse, e, work):
            if g is None:
                e = dy
            else:
                xp.multiply(dy, g, out=e)
            xp.multiply(h, mean_product(xp, e, h), out=work)
            centre(xp, e, out=dx)
            dx -= work
            dx *= inverse

        if propagate_down[0]:
            self.blocks.map(gradient, *self._cut(self.blocks, h, dy, bottom[0].diff), self.inverse,
                            scratch=2)

    def backward_gpu(self, top, propagate_down, bottom):
        (_, rows, size), h, dy = self.blocks.shape, self.normalized.data, top[0].diff
        if self.param.affine and any(self.param_propagate_down):
            self.by_entry.launch_sums(_LAYER_NORM, "sums", self.sums, h, dy)
            for blob, wanted, sums in zip(self.blobs, self.param_propagate_down, self.sums):
                if wanted:
                    self.by_entry.add_total(sums, blob.diff)
        if propagate_down[0]:
            g = self.blobs[0].data if self.param.affine else h           # not read unless affine
            _LAYER_NORM.by_blocks("gradient", self.dtype, rows, size, int(self.param.affine), h, dy,
                                  bottom[0].diff, self.inverse, g)

    def _add_param_diffs(self, h, dy):
        sums = self.sums
        sums.fill(0)

        def add(at, h, dy):
            sums[0][at] += self.xp.einsum("ncs,ncs->c", dy, h)
            sums[1][at] += self.xp.einsum("ncs->c", dy)

        self.by_entry.map(add, *self._cut(self.by_entry, h, dy))
        for blob, wanted, total in zip(self.blobs, self.param_propagate_down, sums.sum(axis=1)):
            if wanted:
                blob.diff += total.reshape(blob.shape).astype(self.dtype)

    @staticmethod
    def _cut(blocks, *arrays):
        return [a.reshape(blocks.shape) for a in arrays]
