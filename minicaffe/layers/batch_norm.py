"""BatchNorm: every channel to mean 0 and variance 1."""

import numpy as np

from ..blob import Blob
from ..primitives.elementwise import Blocks
from ..proto.caffe_pb2 import TEST
from .base import Layer, register_layer


@register_layer("BatchNorm")
class BatchNorm(Layer):
    """Take off each channel's mean and divide by its standard deviation; may work in place.

    m = x.size / C, f = moving_average_fraction; all sums over everything but the channel axis 1:
    bottom[0]  x  (N, C, ...)     blobs[0], [1]  s, v  (C,)   sums of means and of variances
    top[0]     y  the same        blobs[2]       t     (1,)   the weight of these sums
    batch:     mu = sum x / m, var = sum (x - mu)^2 / m, then
               s = f s + mu,  v = f v + var m / (m - 1),  t = f t + 1
    stored:    mu = s / t, var = v / t (0 where t = 0); use_global_stats, by default in TEST only
    forward:   y = (x - mu) / sqrt(var + eps)
    backward:  batch    dx = (dy - sum dy / m - y sum (dy y) / m) / sqrt(var + eps)
               stored   dx = dy / sqrt(var + eps)
    The blobs are not learnt: their lr_mult is 0, and a file may give no other. With batch
    statistics x - mu is kept, since later layers may overwrite x and y.
    Source: batch_norm_layer.cpp; Ioffe and Szegedy, ICML 2015.
    """

    message = "batch_norm_param"

    def setup(self, bottom, top):
        p, given = self.param, self.layer_param.param
        self.stored = p.use_global_stats if p.HasField("use_global_stats") else self.phase == TEST
        self.channels = self._cut_shape(bottom[0])[1]
        for shape in (self.channels,), (self.channels,), (1,):
            self.add_blob(shape)
        self.param_propagate_down[:] = [False] * 3
        for i in range(3):
            if i == len(given):
                given.add(lr_mult=0)
            elif given[i].lr_mult != 0:
                raise self.error(f"param {i} has lr_mult {given[i].lr_mult:g}: these are statistics, "
                                 "not learnt parameters, lr_mult must be 0 (or param left out)")
        self.deviations = Blob(dtype=self.dtype)

    @staticmethod
    def _cut_shape(x):
        if x.num_axes < 2:
            return x.size, 1, 1
        return x.shape[0], x.shape[1], x.count(2)

    def reshape(self, bottom, top):
        shape = self._cut_shape(bottom[0])
        if shape[1] != self.channels:
            raise self.error(f"a bottom of shape {bottom[0].shape} does not have the {self.channels} "
                             "channels that were set up")
        if not bottom[0].size:
            raise self.error(f"a bottom of shape {bottom[0].shape} has no mean: it is empty")
        top[0].reshape_like(bottom[0])
        if not self.stored:
            self.deviations.reshape_like(bottom[0])
        self.blocks = Blocks(self.xp, *shape, whole_channels=not self.stored)
        self.sums = self.blocks.buffer(3)
        self.statistics = self.xp.zeros((2, self.channels))              # mean, variance
        self.mean, self.inverse = self.xp.zeros((2, self.channels, 1), self.dtype)
        self.m = shape[0] * shape[2]

    def forward(self, bottom, top):
        x, y = self._cut(bottom[0].data, top[0].data)
        if self.stored:
            t = self.blobs[2].data
            factor = self.xp.where(t == 0, 0, 1 / self.xp.where(t == 0, 1, t))
            self._set_statistics(slice(None), factor * self.blobs[0].data,
                                 factor * self.blobs[1].data)
            self.blocks.map(self._values, x, y)
            return
        d = self._deviations()
        if self.blocks.whole:
            self.blocks.map(self._values_of_channels, x, y, d)
        else:
            self._set_statistics(slice(None), *self._moments(x))
            self.blocks.map(self._values, x, y, d)
        self._remember()

    def _set_statistics(self, c, mean, variance):
        """Mean and variance of channels c, also as columns in the layer's precision."""
        self.statistics[0, c], self.statistics[1, c] = mean, variance
        self.mean[c] = mean[:, None]
        self.inverse[c] = 1 / self.xp.sqrt(variance[:, None] + self.param.eps)

    def _values(self, at, x, y, *kept):
        d = kept[0] if kept else y
        self.xp.subtract(x, self.mean[at[1]], out=d)
        self.xp.multiply(d, self.inverse[at[1]], out=y)

    def _values_of_channels(self, at, x, y, d):
        """The same for channels that the block holds whole: all in one go."""
        xp, c = self.xp, at[1]
        mean = xp.einsum("ncs->nc", x).sum(axis=0, dtype=np.float64) / self.m
        xp.subtract(x, mean.astype(self.dtype)[:, None], out=d)
        squares = xp.einsum("ncs,ncs->nc", d, d).sum(axis=0, dtype=np.float64)
        self._set_statistics(c, mean, squares / self.m)
        xp.multiply(d, self.inverse[c], out=y)

    def _moments(self, x):
        """Mean and (biased) variance of each channel, in double precision.

        Each block's deviations are summed about its own mean, then those means' about the whole.
        """
        xp, sums = self.xp, self.sums
        sums.fill(0)

        def add(at, x, deviation):
            count = x.shape[0] * x.shape[2]
            mean = xp.einsum("ncs->c", x) / self.dtype.type(count)
            xp.subtract(x, mean[:, None], out=deviation)
            sums[2][at] += xp.einsum("ncs,ncs->c", deviation, deviation)
            mean = mean.astype(np.float64)
            sums[0][at] += count * mean
            sums[1][at] += count * mean * mean

        self.blocks.map(add, x, scratch=1)
        total, squares, deviations = sums.sum(axis=1)
        mean = total / self.m
        return mean, (deviations + xp.maximum(squares - total * mean, 0)) / self.m

    def _remember(self):
        fraction, m = self.param.moving_average_fraction, self.m
        mean, variance = self.statistics
        news = mean, variance * (m / (m - 1) if m > 1 else 1), 1
        for blob, new in zip(self.blobs, news):
            blob.data[...] = fraction * blob.data + new

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dy, dx = self._cut(top[0].diff, bottom[0].diff)
        if self.stored:
            self.blocks.map(lambda at, dy, dx: self.xp.multiply(dy, self.inverse[at[1]], out=dx),
                            dy, dx)
            return
        d = self._deviations()
        self.sums.fill(0)
        if self.blocks.whole:
            self.blocks.map(self._gradient_of_channels, dy, d, dx, scratch=1)
        else:
            self.blocks.map(self._add_products, dy, d)
            self.blocks.map(self._gradient, dy, d, dx, scratch=1)

    def _add_products(self, at, dy, d):
        self.sums[0][at] += self.xp.einsum("ncs->nc", dy).sum(axis=0, dtype=np.float64)
        self.sums[1][at] += self.xp.einsum("ncs,ncs->nc", dy, d).sum(axis=0, dtype=np.float64)

    def _gradient(self, at, dy, d, dx, work):
        xp, c, inverse = self.xp, at[1], self.inverse[at[1]]
        mean, product = (self.sums[:2, :, c].sum(axis=1) / self.m).astype(self.dtype)[..., None]
        xp.multiply(d, product * inverse * inverse, out=work)         # y mean(dy y), as y = d inverse
        work += mean
        xp.subtract(dy, work, out=work)
        xp.multiply(work, inverse, out=dx)

    def _gradient_of_channels(self, at, dy, d, dx, work):
        self._add_products(at, dy, d)
        self._gradient(at, dy, d, dx, work)

    def _deviations(self):
        """x - mu of the last forward, as (N, C, S); channel by channel in memory where blocks are, since strides
        of a power of 2 share few places of a cache."""
        n, c, s = self.blocks.shape
        if self.blocks.whole:
            return self.deviations.data.reshape(c, n, s).transpose(1, 0, 2)
        return self.deviations.data.reshape(n, c, s)

    def _cut(self, *arrays):
        return [a.reshape(self.blocks.shape) for a in arrays]
