"""Accuracy: the share of right answers."""

from ..blob import Blob
from ..primitives.softmax import class_indices
from .base import Layer, register_layer


@register_layer("Accuracy")
class Accuracy(Layer):
    """Share of samples whose label is among the top_k best scores. No gradient.

    C = bottom[0].shape[axis] classes, O = count before that axis, I = count after it:
    bottom[0]  x  (O, C, I) scores       bottom[1]  l  O I labels, whole numbers in 0 .. C-1
    top[0]     a  () share of right answers among the labels that are not ignore_label
    top[1]     (C,), optional: the same share for each label on its own
    A sample is right if fewer than top_k other classes score at least as much as its label: ties
    count against it. Without samples the share is 0.
    Source: accuracy_layer.cpp; unlike there, a label whose score is NaN is never right.
    """

    message = "accuracy_param"
    num_bottom, num_top = 2, (1, 2)

    def setup(self, bottom, top):
        self.ignore_label = self.param.ignore_label if self.param.HasField("ignore_label") else None
        self.worse = Blob(dtype=bool)

    def reshape(self, bottom, top):
        axis = bottom[0].canonical_axis(self.param.axis)
        O, C, I = bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1)
        if bottom[1].size != O * I:
            raise self.error(f"{bottom[1].size} labels (shape {bottom[1].shape}) do not fit scores "
                             f"of shape {bottom[0].shape}, which with axis {axis} need {O * I}")
        if not 1 <= self.param.top_k <= C:
            raise self.error(f"top_k {self.param.top_k} is not from 1 to the number of classes {C}")
        self.sizes = O, C, I
        self.picks = self.xp.arange(O)[:, None], self.xp.arange(I)[None, :]
        self.worse.reshape(self.sizes)
        top[0].reshape(())
        if len(top) > 1:
            top[1].reshape((C,))

    def forward(self, bottom, top):
        xp, (O, C, I), (rows, columns) = self.xp, self.sizes, self.picks
        labels, valid = class_indices(xp, bottom[1].data, C, self.ignore_label, self.error)
        labels, valid = labels.reshape(O, I), valid.reshape(O, I)
        x = bottom[0].data.reshape(self.sizes)
        score = x[rows, labels, columns]
        xp.less(x, score[:, None, :], out=self.worse.data)
        others_as_good = C - 1 - self.worse.data.sum(axis=1)
        right = (others_as_good < self.param.top_k) & valid & (score == score)
        top[0].data[...] = right.sum() / xp.maximum(valid.sum(), 1)
        if len(top) > 1:
            number = xp.bincount(labels[valid], minlength=C)
            top[1].data[...] = xp.bincount(labels[right], minlength=C) / xp.maximum(number, 1)

    def allow_force_backward(self, bottom_index):
        return False
