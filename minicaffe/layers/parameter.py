"""Parameter: a blob that is learnt, as a top."""

from .base import Layer, register_layer


@register_layer("Parameter")
class Parameter(Layer):
    """Hand out a parameter blob (zeros at first) for other layers to read.

    no bottoms        blobs[0], top[0]  w  parameter_param.shape; the top's data is the blob's memory
    forward:   y = w             backward:  dw += dy
    Source: parameter_layer.hpp. There the diffs share memory too, so that with iter_size above 1
    only the last sub-batch's gradient is left; here they add up.
    """

    message = "parameter_param"
    num_bottom = 0

    def setup(self, bottom, top):
        if not self.param.HasField("shape"):
            raise self.error("parameter_param needs a shape")
        if any(d < 0 for d in self.param.shape.dim):
            raise self.error(f"shape {list(self.param.shape.dim)} has a negative size")
        self.add_blob(tuple(self.param.shape.dim))

    def reshape(self, bottom, top):
        top[0].reshape(self.blobs[0].shape)

    def forward(self, bottom, top):
        top[0].share_data(self.blobs[0])

    def backward(self, top, propagate_down, bottom):
        if self.param_propagate_down[0]:
            self.blobs[0].diff += top[0].diff
