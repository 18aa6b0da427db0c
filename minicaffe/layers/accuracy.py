"""Accuracy: the share of right answers."""

import numpy as np

from ..backend import Kernels
from ..blob import Blob
from ..primitives.gather import IndexReader
from ..primitives.loss import LOSS_TEXT, LossSum
from ..primitives.softmax import ROW_TEXT, row_launch
from .base import Layer, register_layer

_KERNELS = Kernels("accuracy", ROW_TEXT + LOSS_TEXT + """
extern "C" __global__ void count_right(Index rows, Index C, Index I, Index lanes, const Real* x,
                                       const Real* labels, double ignore, Index top_k, int* outcome,
                                       double* shares)
{   // outcome of a row: its class + 1 if it is right, -(its class + 1) if not, 0: it doesn't count
    Share share = {0, 0, NOWHERE};
    ROW_LOOP(first, rows, lanes) {
        const Row row = row_of(first, rows, C, I, lanes);
        const Index label = row.inside ? class_of(labels[row.number], C, ignore) : -1;
        const Real score = label < 0 ? 0 : x[row.at + label * I];
        Real as_good = 0;
        for (Index c = row.lane; label >= 0 && c < C; c += row.lanes)
            as_good += c != label && !(x[row.at + c * I] < score);
        as_good = reduce_row(as_good, row, false);
        if (row.lane || !row.inside)
            continue;
        const bool right = label >= 0 && as_good < top_k && score == score;
        outcome[row.number] = label < 0 ? 0 : right ? label + 1 : -label - 1;
        share.loss += right;
        count_label(share, label, row.number);
    }
    finish_block(share, shares);
}

extern "C" __global__ void share_by_class(Index rows, const int* outcome, Real* top)
{   // a block a class
    Share share = {0, 0, NOWHERE};
    const int mine = blockIdx.x + 1;
    for (Index row = threadIdx.x; row < rows; row += blockDim.x) {
        share.loss += outcome[row] == mine;
        share.count += outcome[row] == mine || outcome[row] == -mine;
    }
    share = sum_of_block(share);
    if (threadIdx.x == 0)
        top[blockIdx.x] = share.loss / (share.count > 1 ? share.count : 1);
}
""")


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
        p = self.param
        self.reader = IndexReader(self.xp, "label {} at index {} of bottom[1]", self.error,
                                  p.ignore_label if p.HasField("ignore_label") else None)
        self.device_checks.append(self.reader.check)
        self.device_share = LossSum(self.xp, self.dtype, self.reader)
        self.worse, self.outcome = Blob(dtype=bool), Blob(dtype=np.int32)

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
        self.outcome.reshape(O, I)
        self.reader.expect(bottom[1].shape, C)
        top[0].reshape(())
        if len(top) > 1:
            top[1].reshape((C,))

    def forward(self, bottom, top):
        xp, (O, C, I), (rows, columns) = self.xp, self.sizes, self.picks
        labels, valid = self.reader.read(bottom[1].data)
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

    def forward_gpu(self, bottom, top):
        labels, outcome = bottom[1].data, self.outcome.data
        blocks, rows, *launch = row_launch(self.sizes, 1)
        self.device_share.forward(
            _KERNELS, "count_right", rows, (*launch, bottom[0].data, labels, self.reader.ignore,
                                            self.param.top_k, outcome), labels, top[0].data,
            blocks=blocks)
        if len(top) > 1:
            _KERNELS.by_blocks("share_by_class", self.dtype, self.sizes[1], rows, outcome,
                               top[1].data)

    def allow_force_backward(self, bottom_index):
        return False
