"""Losses with a margin: nothing is paid beyond it."""

from ..blob import Blob
from ..primitives.softmax import class_indices
from .base import Layer, register_layer

NEAR_ZERO = 1e-4         # Caffe adds it to a distance before dividing by it


@register_layer("ContrastiveLoss")
class ContrastiveLoss(Layer):
    """Draws similar pairs together and pushes dissimilar ones apart, up to a margin m.

    bottom[0]  a  (N, C)      bottom[1]  b  (N, C)      (further axes must have size 1)
    bottom[2]  s  (N,)  not 0 (its whole part): the pair is similar; 0: it is not
    top[0]     E  ()
    forward:   d = |a - b| of a row,  E = 1/(2N) sum_similar d^2 + 1/(2N) sum_others max(m - d, 0)^2
    backward:  similar da = w/N (a - b); others with m > d: da = -w/N (m - d)/(d + 1e-4) (a - b),
               else 0; db = -da; w = the loss weight (top[0].diff)
    legacy_version: others pay max(m - d^2, 0), with da = -w/N (a - b) where m > d^2.
    The 1e-4, in backward only, is Caffe's. Similarity gets no gradient.
    Source: contrastive_loss_layer.cpp; Hadsell, Chopra and LeCun, CVPR 2006.
    """

    message = "contrastive_loss_param"
    num_bottom, num_top = 3, 1
    auto_top_blobs = is_loss = True

    def setup(self, bottom, top):
        self.difference = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        a, b, similar = bottom
        if a.num_axes < 2 or a.shape != b.shape or a.count(2) != 1:
            raise self.error(f"bottoms 0 and 1 must both be N x C, they are {a.shape} and "
                             f"{b.shape}")
        if similar.size != a.shape[0]:
            raise self.error(f"bottom 2 of shape {similar.shape} does not say of {a.shape[0]} "
                             "pairs whether they are similar")
        self.difference.reshape(a.shape[:2])
        top[0].reshape(())

    def forward(self, bottom, top):
        xp, difference, margin = self.xp, self.difference.data, self.param.margin
        a, b = (blob.data.reshape(difference.shape) for blob in bottom[:2])
        xp.subtract(a, b, out=difference)
        squares = xp.einsum("nc,nc->n", difference, difference)
        similar = xp.trunc(bottom[2].data.reshape(-1)) != 0
        if self.param.legacy_version:
            paid = xp.maximum(margin - squares, 0)
            slope = xp.where(paid > 0, -1, 0)
        else:
            distance = xp.sqrt(squares)
            room = xp.maximum(margin - distance, 0)
            paid, slope = room ** 2, -room / (distance + NEAR_ZERO)
        self.factor = xp.where(similar, 1, slope)       # da = w/N factor (a - b)
        top[0].data[...] = xp.where(similar, squares, paid).sum() / (2 * len(squares))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[2]:
            raise self.error("similarity (bottom 2) has no gradient")
        for blob, wanted, sign in zip(bottom, propagate_down, (1, -1)):
            if wanted:
                factor = (sign * top[0].diff / len(self.factor) * self.factor)[:, None]
                self.xp.multiply(self.difference.data, factor.astype(self.dtype, copy=False),
                                 out=blob.diff.reshape(self.difference.shape))

    def allow_force_backward(self, bottom_index):
        return bottom_index != 2


@register_layer("HingeLoss")
class HingeLoss(Layer):
    """One class against all others: each score should be beyond 1 on its own side of 0.

    bottom[0]  x  (N, ...), K scores a sample        bottom[1]  l  N labels in 0 .. K-1
    top[0]     E  ()
    forward:   h = max(0, 1 - t x) with t = 1 for the label's score and -1 for the others
               L1: E = 1/N sum h        L2: E = 1/N sum h^2
    backward:  L1: dx = -w/N t sign(h)  L2: dx = -2 w/N t h     w = the loss weight (top[0].diff)
    Labels get no gradient. Source: hinge_loss_layer.cpp.
    """

    message = "hinge_loss_param"
    num_bottom, num_top = 2, 1
    auto_top_blobs = is_loss = True

    def setup(self, bottom, top):
        self.h = Blob(dtype=self.dtype)

    def reshape(self, bottom, top):
        x, labels = bottom
        if not x.shape or labels.size != x.shape[0]:
            raise self.error(f"{labels.size} labels (shape {labels.shape}) do not fit scores of "
                             f"shape {x.shape}")
        self.h.reshape(x.shape[0], x.count(1))
        self.rows = self.xp.arange(x.shape[0])
        top[0].reshape(())

    def forward(self, bottom, top):
        xp, h, rows = self.xp, self.h.data, self.rows
        self.labels, _ = class_indices(xp, bottom[1].data, h.shape[1], None, self.error)
        self.labels = self.labels.reshape(-1)
        h[...] = bottom[0].data.reshape(h.shape)                   # h = -t x, then 1 - t x
        h[rows, self.labels] *= -1
        h += 1
        xp.maximum(h, 0, out=h)
        flat = h.reshape(-1)
        total = flat.sum() if self.param.norm == self.param.L1 else xp.dot(flat, flat)
        top[0].data[...] = total / max(len(rows), 1)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise self.error("labels (bottom 1) have no gradient")
        if propagate_down[0]:
            h, dx, weight = self.h.data, bottom[0].diff.reshape(self.h.shape), top[0].diff
            if self.param.norm == self.param.L1:
                self.xp.sign(h, out=dx)
                dx *= weight / len(self.rows)
            else:
                self.xp.multiply(h, 2 * weight / len(self.rows), out=dx)
            dx[self.rows, self.labels] *= -1

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0
