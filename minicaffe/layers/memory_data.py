"""MemoryData: batches of arrays that the user hands over."""

import logging

import numpy as np

from ..backend import assign
from .base import Layer, register_layer

log = logging.getLogger("minicaffe")


@register_layer("MemoryData")
class MemoryData(Layer):
    """Rows of two arrays, given by `net.set_input_arrays(data, labels)`, batch by batch.

    top[0]  data    batch_size x channels x height x width
    top[1]  labels  (batch_size,)
    After the last row the first comes again. The arrays are not copied, and not transformed.
    Source: memory_data_layer.cpp.
    """

    message = "memory_data_param"
    num_bottom, num_top = 0, 2
    needs_host = True

    def setup(self, bottom, top):
        for field in "batch_size", "channels", "height", "width":
            if getattr(self.param, field) < 1:
                raise self.error(f"{field} must be given and positive")
        p = self.param
        self.shape = (p.batch_size, p.channels, p.height, p.width)
        self.arrays, self.position = None, 0

    def set_input_arrays(self, data, labels):
        """Read `data` (n, channels, height, width) and `labels` (n,) or (n, 1, 1, 1) from now on.

        n must be a multiple of batch_size.
        """
        data, labels = np.asarray(data), np.asarray(labels)
        for what, array in ("data", data), ("labels", labels):
            if array.dtype.kind not in "biuf":
                raise self.error(f"{what} must be an array of numbers, not of {array.dtype}")
        if data.ndim != 4 or data.shape[1:] != self.shape[1:]:
            raise self.error(f"data of shape {data.shape} does not fit: channels, height and width "
                             f"are {self.shape[1:]}")
        if labels.shape not in ((len(data),), (len(data), 1, 1, 1)):
            raise self.error(f"labels of shape {labels.shape} do not fit {len(data)} rows of data")
        if not len(data) or len(data) % self.shape[0]:
            raise self.error(f"the number of rows, {len(data)}, is not a positive multiple of "
                             f"batch_size {self.shape[0]}")
        if self.layer_param.HasField("transform_param"):
            log.warning("layer '%s' (MemoryData): transform_param is not applied to arrays in "
                        "memory", self.name)
        self.arrays, self.position = (data, labels.reshape(-1)), 0

    def reshape(self, bottom, top):
        for blob, shape in zip(top, (self.shape, self.shape[:1])):
            if blob.shape != shape:             # else its arrays stay: a CUDA graph looks at that
                blob.reshape(shape)

    def forward(self, bottom, top):
        if self.arrays is None:
            raise self.error("has no data yet: call the net's set_input_arrays(data, labels) first")
        self.reshape(bottom, top)            # somebody may have reshaped the blobs, as in Caffe
        batch = self.shape[0]
        start = self.position * batch % len(self.arrays[0])
        for blob, array in zip(top, self.arrays):
            assign(blob.data, array[start:start + batch])
        self.position += 1

    def backward(self, top, propagate_down, bottom):
        """Data has no gradient."""
