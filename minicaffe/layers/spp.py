"""SPP: pooling over grids of several sizes, for images of any size."""

from ..blob import Blob
from ..proto.caffe_pb2 import LayerParameter
from .base import Layer, layer_class, register_layer


@register_layer("SPP")
class SPP(Layer):
    """Spatial pyramid pooling: level l divides the image into 2^l x 2^l bins.

    bottom[0]  x  N x C x H x W
    top[0]     y  N x C sum_l 4^l, the pooled levels one after another, each flattened; with one
               level, N x C x 1 x 1
    Level l is Pooling with kernel k = ceil(H / 2^l), stride k and pad floor((k 2^l - H + 1) / 2),
    and so for W. Forward and backward are Pooling's (MAX or AVE).
    Source: spp_layer.cpp; He, Zhang, Ren and Sun, ECCV 2014.
    """

    message = "spp_param"

    def setup(self, bottom, top):
        p = self.param
        if p.pyramid_height < 1:
            raise self.error("pyramid_height must be positive")
        if p.pool not in (p.MAX, p.AVE):
            raise self.error("pool must be MAX or AVE: STOCHASTIC has no CPU form in Caffe either")
        self.size, self.scratch = None, Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        shape, height = bottom[0].shape, self.param.pyramid_height
        if len(shape) != 4:
            raise self.error(f"the bottom must be N x C x H x W, not {shape}")
        if min(shape[2:]) < 2 ** (height - 1):
            raise self.error(f"an image of {shape[2]} x {shape[3]} can't be divided into "
                             f"{2 ** (height - 1)} bins each way, as pyramid_height {height} asks")
        if self.size != shape[2:]:
            self.size = shape[2:]
            self.levels = [self._level(2 ** i, bottom) for i in range(height)]
        else:
            for layer, blob in self.levels:
                layer.reshape(bottom, [blob])
        self.widths = [blob.count(1) for _, blob in self.levels]
        top[0].reshape(self.levels[0][1].shape if height == 1 else (shape[0], sum(self.widths)))

    def _level(self, bins, bottom):
        """A Pooling layer of bins x bins windows, set up, and its top."""
        kernel = [-(-size // bins) for size in self.size]
        pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, self.size)]
        param = LayerParameter(name=self.name, type="Pooling", pooling_param=dict(
            pool=self.param.pool, kernel_h=kernel[0], kernel_w=kernel[1], stride_h=kernel[0],
            stride_w=kernel[1], pad_h=pad[0], pad_w=pad[1]))
        layer = layer_class("Pooling")(param, self.phase, self.dtype, self.rng, self.place)
        blob = Blob(dtype=self.dtype)
        layer.set_up(bottom, [blob])
        if blob.shape[2:] != (bins, bins):
            raise self.error(f"an image of {self.size[0]} x {self.size[1]} gives {blob.shape[2:]} "
                             f"bins instead of {bins} x {bins}: pyramid_height is too large for it")
        return layer, blob

    def _parts(self, array):
        """A top's array cut into its levels: views (N, C 4^l)."""
        array, begin = array.reshape(len(array), -1), 0
        for width in self.widths:
            yield array[:, begin:begin + width]
            begin += width

    def forward(self, bottom, top):
        for (layer, blob), part in zip(self.levels, self._parts(top[0].data)):
            layer.forward(bottom, [blob])
            part[...] = blob.data.reshape(part.shape)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx = bottom[0].diff
        for i, ((layer, blob), part) in enumerate(zip(self.levels, self._parts(top[0].diff))):
            blob.diff.reshape(part.shape)[...] = part
            if i == 0:
                layer.backward([blob], [True], bottom)
            else:
                layer.backward([blob], [True], [self._stand_in(bottom[0])])
                dx += self.scratch.diff

    def _stand_in(self, x):
        """A blob with the bottom's data and a diff of its own, to which another level writes."""
        self.scratch.reshape_like(x)
        self.scratch.share_data(x)
        return self.scratch
