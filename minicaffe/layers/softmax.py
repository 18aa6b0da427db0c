"""Softmax: scores to probabilities."""

from ..blob import Blob
from ..primitives.softmax import (softmax, softmax_backward, softmax_backward_gpu,
                                  softmax_gpu)
from .base import Layer, register_layer


@register_layer("Softmax")
class Softmax(Layer):
    """Exponentials normalised to sum 1 over one axis; may work in place.

    C = bottom.shape[axis]:
    bottom[0]  x  (..., C, ...)        top[0]  y  the same
    forward:   y_c = exp(x_c) / sum_k exp(x_k)
    backward:  dx_c = (dy_c - sum_k dy_k y_k) y_c
    Source: softmax_layer.cpp.
    """

    message = "softmax_param"

    def setup(self, bottom, top):
        self.work = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        self.axis = bottom[0].canonical_axis(self.param.axis)
        top[0].reshape_like(bottom[0])
        self.work.reshape_like(bottom[0])

    def forward(self, bottom, top):
        softmax(self.xp, bottom[0].data, self.axis, out=top[0].data)

    def forward_gpu(self, bottom, top):
        softmax_gpu(bottom[0].data, self.axis, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            softmax_backward(self.xp, top[0].data, top[0].diff, self.axis, bottom[0].diff,
                             self.work.data)

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            softmax_backward_gpu(top[0].data, top[0].diff, self.axis, bottom[0].diff)
