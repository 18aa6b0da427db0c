"""Losses that are cross-entropies: of probabilities, of sigmoids, with weighted confusions."""

from ..blob import Blob
from ..errors import FileError
from ..primitives.loss import normalization_of, normalizer
from ..primitives.softmax import class_indices, softmax
from ..proto import weights
from .base import Layer, register_layer

LEAST = 1e-20            # Caffe's kLOG_THRESHOLD: no logarithm of less


class LabelledLoss(Layer):
    """A loss of two bottoms, the second of which is a target without gradient."""

    num_bottom, num_top = 2, 1
    auto_top_blobs = is_loss = True

    def backward(self, top, propagate_down, bottom):
        for i, wanted in enumerate(propagate_down[1:], 1):
            if wanted:
                raise self.error(f"bottom {i} has no gradient, only bottom 0 has")
        if propagate_down[0]:
            self.input_gradient(bottom[0].diff, top[0].diff, bottom)

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0


@register_layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(LabelledLoss):
    """The negative logarithm of the label's probability; SoftmaxWithLoss is the stabler form.

    bottom[0]  p  (N, ...), C probabilities a sample      bottom[1]  l  N labels in 0 .. C-1
    top[0]     E  ()
    forward:   E = -1/N sum_n log max(p[n, l_n], 1e-20)
    backward:  dp[n, l_n] = -w/N / max(p[n, l_n], 1e-20), 0 elsewhere; w = the loss weight
    Source: multinomial_logistic_loss_layer.cpp.
    """

    def reshape(self, bottom, top):
        p, labels = bottom
        if not p.shape or labels.size != p.shape[0]:
            raise self.error(f"{labels.size} labels (shape {labels.shape}) do not fit "
                             f"probabilities of shape {p.shape}: one a sample is needed")
        self.rows = self.xp.arange(p.shape[0])
        top[0].reshape(())

    def forward(self, bottom, top):
        p = bottom[0].data.reshape(len(self.rows), -1)
        labels, _ = class_indices(self.xp, bottom[1].data, p.shape[1], None, self.error)
        self.labels = labels.reshape(-1)
        self.picked = self.xp.maximum(p[self.rows, self.labels], LEAST)
        top[0].data[...] = -self.xp.log(self.picked).sum() / len(self.rows)

    def input_gradient(self, dx, weight, bottom):
        dx.fill(0)
        dx.reshape(len(self.rows), -1)[self.rows, self.labels] = \
            -weight / len(self.rows) / self.picked


@register_layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LabelledLoss):
    """Cross-entropy of independent sigmoids with targets between 0 and 1.

    bottom[0]  x  (N, ...) scores        bottom[1]  t  targets, as many
    top[0]     E  ()
    forward:   p = 1/(1 + exp(-x)),  E = -1/n sum (t log p + (1 - t) log(1 - p)), computed as
               1/n sum (max(x, 0) - x t + log(1 + exp(-|x|))), which can't overflow
    backward:  dx = w/n (p - t), w = the loss weight (top[0].diff)
    Where the whole part of t is ignore_label, the term and its gradient are 0. n: BATCH_SIZE (the
    default here) N; VALID the targets not ignored; FULL all; NONE 1; at least 1.
    Source: sigmoid_cross_entropy_loss_layer.cpp.
    """

    message = "loss_param"

    def setup(self, bottom, top):
        self.mode = normalization_of(self.param, self.param.BATCH_SIZE)
        self.work, self.counted = Blob(dtype=self.dtype), Blob(dtype=bool)

    def reshape(self, bottom, top):
        x, t = bottom
        if not x.shape or x.size != t.size:
            raise self.error(f"targets of shape {t.shape} do not fit scores of shape {x.shape}")
        self.work.reshape_like(x)
        self.counted.reshape_like(x)
        top[0].reshape(())

    def forward(self, bottom, top):
        xp, x, terms, counted = self.xp, bottom[0].data, self.work.data, self.counted.data
        t = bottom[1].data.reshape(x.shape)
        xp.trunc(t, out=terms)
        if self.param.HasField("ignore_label"):
            xp.not_equal(terms, self.param.ignore_label, out=counted)
        else:
            counted.fill(True)
        xp.abs(x, out=terms)
        xp.negative(terms, out=terms)
        xp.exp(terms, out=terms)
        xp.log1p(terms, out=terms)                        # log(1 + exp(-|x|))
        total = terms.sum(where=counted)
        xp.maximum(x, 0, out=terms)
        total += terms.sum(where=counted)
        xp.multiply(x, t, out=terms)
        total -= terms.sum(where=counted)
        self.n = normalizer(xp, self.param, self.mode, x.size, x.shape[0], counted)
        top[0].data[...] = total / self.n

    def input_gradient(self, dx, weight, bottom):
        xp = self.xp
        xp.multiply(bottom[0].data, 0.5, out=dx)           # p = tanh(x/2)/2 + 1/2
        xp.tanh(dx, out=dx)
        dx *= 0.5
        dx += 0.5
        dx -= bottom[1].data.reshape(dx.shape)
        dx *= self.counted.data
        dx *= weight / self.n


@register_layer("InfogainLoss")
class InfogainLoss(LabelledLoss):
    """SoftmaxWithLoss with a matrix H that says what each confusion of classes is worth.

    C = bottom[0].shape[axis] classes, O = count before that axis, I = count after it:
    bottom[0]  x  (O, C, I) scores        bottom[1]  l  O I labels in 0 .. C-1
    bottom[2]  H  (C, C), optional: else it is read from the .binaryproto file `source`
    top[0]     E  ()                      top[1]  p  as x, optional: the softmax
    forward:   p = softmax(x),  E = -1/n sum_{o,i} sum_c H[l, c] log max(p[o, c, i], 1e-20)
    backward:  dx[o, c, i] = w/n (p[o, c, i] sum_k H[l, k] - H[l, c]), w = the loss weight
    ignore_label and n as in SoftmaxWithLoss (n by default: VALID). H the identity matrix gives
    SoftmaxWithLoss. Labels and H get no gradient. Source: infogain_loss_layer.cpp.
    """

    message = "infogain_loss_param"
    num_bottom, num_top = (2, 3), (1, 2)

    def setup(self, bottom, top):
        loss = self.layer_param.loss_param
        self.mode = normalization_of(loss)
        self.ignore_label = loss.ignore_label if loss.HasField("ignore_label") else None
        self.p, self.work, self.rows = (Blob(dtype=self.dtype) for _ in range(3))
        if len(bottom) == 2:
            self.matrix = self._read_matrix()

    def _read_matrix(self):
        if not self.param.source:
            raise self.error("needs the matrix H: as bottom 2, or as the file named by source")
        try:
            return self.xp.asarray(weights.read_blob(self.param.source), self.dtype)
        except FileError as error:
            raise self.error(f"source: {error}") from error

    def reshape(self, bottom, top):
        x = bottom[0]
        axis = x.canonical_axis(self.param.axis)
        O, C, I = self.sizes = x.count(0, axis), x.shape[axis], x.count(axis + 1)
        if bottom[1].size != O * I:
            raise self.error(f"{bottom[1].size} labels (shape {bottom[1].shape}) do not fit scores "
                             f"of shape {x.shape}, which with axis {axis} need {O * I}")
        matrix = bottom[2] if len(bottom) == 3 else self.matrix
        if matrix.size != C * C:
            raise self.error(f"a matrix H of shape {matrix.shape} does not fit {C} classes: it "
                             f"must be {C} x {C}")
        self.p.reshape_like(x)
        self.work.reshape(O, C, I)
        self.rows.reshape(O, I, C)
        top[0].reshape(())
        if len(top) > 1:
            top[1].reshape_like(x)
            top[1].share_data(self.p)

    def forward(self, bottom, top):
        xp, (O, C, I), terms = self.xp, self.sizes, self.work.data
        p = self.p.data.reshape(self.sizes)
        softmax(xp, bottom[0].data.reshape(self.sizes), 1, out=p)
        labels, valid = class_indices(xp, bottom[1].data, C, self.ignore_label, self.error)
        self.labels, self.valid = labels.reshape(O, I), valid.reshape(O, I)
        self.n = normalizer(xp, self.layer_param.loss_param, self.mode, O * I, O, self.valid)
        matrix = bottom[2].data if len(bottom) == 3 else self.matrix
        self.H = matrix.reshape(C, C)
        xp.maximum(p, LEAST, out=terms)
        xp.log(terms, out=terms)
        xp.take(self.H, self.labels, axis=0, out=self.rows.data, mode="clip")    # H[l[o, i], c]
        terms *= self.rows.data.transpose(0, 2, 1)
        total = (terms.sum(axis=1) * self.valid).sum()
        top[0].data[...] = -total / self.n

    def input_gradient(self, dx, weight, bottom):
        dx = dx.reshape(self.sizes)
        sums = self.H.sum(axis=1)[self.labels]             # (O, I)
        self.xp.multiply(self.p.data.reshape(self.sizes), sums[:, None, :], out=dx)
        dx -= self.rows.data.transpose(0, 2, 1)
        scale = self.valid * (weight / self.n)
        dx *= scale[:, None, :].astype(self.dtype, copy=False)
