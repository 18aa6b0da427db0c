"""Losses with a margin: nothing is paid beyond it."""

from ..backend import Kernels
from ..blob import Blob
from ..primitives.gather import IndexReader
from ..primitives.loss import LOSS_TEXT, LossSum
from .base import Layer, register_layer

NEAR_ZERO = 1e-4         # Caffe adds it to a distance before dividing by it

_CONTRASTIVE = Kernels("contrastive loss", LOSS_TEXT + """
extern "C" __global__ void forward(Index N, Index C, const Real* a, const Real* b,
                                   const Real* similar, double margin, double near_zero,
                                   Index legacy, Real* difference, Real* factor, double* shares)
{   // factor: da = w/N factor (a - b)
    Share share = {0, 0, NOWHERE};
    GRID_LOOP(n, N) {
        Real square = 0;
        for (Index k = n * C; k < (n + 1) * C; ++k) {
            const Real d = difference[k] = a[k] - b[k];
            square += d * d;
        }
        const Real distance = sqrt(square), room = (Real)margin - (legacy ? square : distance);
        if (trunc(similar[n]) != 0) {
            factor[n] = 1;
            share.loss += square;
        } else if (room > 0 || room != room) {
            factor[n] = legacy ? -1 : -room / (distance + (Real)near_zero);
            share.loss += legacy ? room : room * room;
        } else
            factor[n] = 0;
    }
    finish_block(share, shares);
}

extern "C" __global__ void backward(Index count, Index C, const Real* difference,
                                    const Real* factor, const Real* weight, double sign,
                                    const Real* divisor, Real* dx)
{   // divisor: 2 N
    GRID_LOOP(k, count)
        dx[k] = (Real)(2 * sign) * weight[0] / divisor[0] * factor[k / C] * difference[k];
}
""")

_HINGE = Kernels("hinge loss", LOSS_TEXT + """
extern "C" __global__ void forward(Index count, Index K, const Real* x, const Real* labels,
                                   double ignore, Index squared, Real* h, double* shares)
{
    Share share = {0, 0, NOWHERE};
    GRID_LOOP(i, count) {
        const Index label = class_of(labels[i / K], K, ignore);
        if (i % K == 0)
            count_label(share, label, i / K);
        const Real value = 1 + (i % K == label ? -x[i] : x[i]);
        h[i] = label < 0 || value < 0 ? 0 : value;
        share.loss += squared ? h[i] * h[i] : h[i];
    }
    finish_block(share, shares);
}

extern "C" __global__ void backward(Index count, Index K, const Real* h, const Real* labels,
                                    double ignore, Index squared, const Real* weight,
                                    const Real* divisor, Real* dx)
{
    GRID_LOOP(i, count) {
        const Index label = class_of(labels[i / K], K, ignore);
        const Real slope = squared ? 2 * h[i] : h[i] > 0 ? 1 : h[i];
        dx[i] = (i % K == label ? -slope : slope) * (weight[0] / divisor[0]);
    }
}
""")


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
        self.difference, self.factors = Blob(dtype=self.dtype), Blob(dtype=self.dtype)
        self.device_loss = LossSum(self.xp, self.dtype)

    def reshape(self, bottom, top):
        a, b, similar = bottom
        if a.num_axes < 2 or a.shape != b.shape or a.count(2) != 1:
            raise self.error(f"bottoms 0 and 1 must both be N x C, they are {a.shape} and "
                             f"{b.shape}")
        if similar.size != a.shape[0]:
            raise self.error(f"bottom 2 of shape {similar.shape} does not say of {a.shape[0]} "
                             "pairs whether they are similar")
        self.difference.reshape(a.shape[:2])
        self.factors.reshape(a.shape[:1])
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

    def forward_gpu(self, bottom, top):
        (N, C), p = self.difference.shape, self.param
        a, b, similar = (blob.data for blob in bottom)
        self.device_loss.forward(
            _CONTRASTIVE, "forward", N,
            (C, a, b, similar, p.margin, NEAR_ZERO, int(p.legacy_version), self.difference.data,
             self.factors.data), similar, top[0].data, 2 * N)

    def backward(self, top, propagate_down, bottom):
        self._refuse_similarity(propagate_down)
        for blob, wanted, sign in zip(bottom, propagate_down, (1, -1)):
            if wanted:
                factor = (sign * top[0].diff / len(self.factor) * self.factor)[:, None]
                self.xp.multiply(self.difference.data, factor.astype(self.dtype, copy=False),
                                 out=blob.diff.reshape(self.difference.shape))

    def backward_gpu(self, top, propagate_down, bottom):
        self._refuse_similarity(propagate_down)
        for blob, wanted, sign in zip(bottom, propagate_down, (1.0, -1.0)):
            if wanted:
                _CONTRASTIVE("backward", self.dtype, blob.size, blob.size, self.difference.shape[1],
                             self.difference.data, self.factors.data, top[0].diff, sign,
                             self.device_loss.n, blob.diff)

    def _refuse_similarity(self, propagate_down):
        if propagate_down[2]:
            raise self.error("similarity (bottom 2) has no gradient")

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
        self.reader = IndexReader(self.xp, "label {} at index {} of bottom[1]", self.error)
        self.device_checks.append(self.reader.check)
        self.device_loss = LossSum(self.xp, self.dtype, self.reader)

    def reshape(self, bottom, top):
        x, labels = bottom
        if not x.shape or labels.size != x.shape[0]:
            raise self.error(f"{labels.size} labels (shape {labels.shape}) do not fit scores of "
                             f"shape {x.shape}")
        self.h.reshape(x.shape[0], x.count(1))
        self.rows = self.xp.arange(x.shape[0])
        self.reader.expect(labels.shape, x.count(1))
        top[0].reshape(())

    def forward(self, bottom, top):
        xp, h, rows = self.xp, self.h.data, self.rows
        self.labels, _ = self.reader.read(bottom[1].data)
        self.labels = self.labels.reshape(-1)
        h[...] = bottom[0].data.reshape(h.shape)                   # h = -t x, then 1 - t x
        h[rows, self.labels] *= -1
        h += 1
        xp.maximum(h, 0, out=h)
        flat = h.reshape(-1)
        total = flat.sum() if self.param.norm == self.param.L1 else xp.dot(flat, flat)
        top[0].data[...] = total / max(len(rows), 1)

    def forward_gpu(self, bottom, top):
        h, labels = self.h.data, bottom[1].data
        self.device_loss.forward(
            _HINGE, "forward", h.size,
            (h.shape[1], bottom[0].data, labels, self.reader.ignore, self._squared(), h), labels,
            top[0].data, max(len(h), 1))

    def _squared(self):
        return int(self.param.norm == self.param.L2)

    def backward(self, top, propagate_down, bottom):
        self._refuse_labels(propagate_down)
        if propagate_down[0]:
            h, dx, weight = self.h.data, bottom[0].diff.reshape(self.h.shape), top[0].diff
            if self.param.norm == self.param.L1:
                self.xp.sign(h, out=dx)
                dx *= weight / len(self.rows)
            else:
                self.xp.multiply(h, 2 * weight / len(self.rows), out=dx)
            dx[self.rows, self.labels] *= -1

    def backward_gpu(self, top, propagate_down, bottom):
        self._refuse_labels(propagate_down)
        if propagate_down[0]:
            h = self.h.data
            _HINGE("backward", self.dtype, h.size, h.size, h.shape[1], h, bottom[1].data,
                   self.reader.ignore, self._squared(), top[0].diff, self.device_loss.n,
                   bottom[0].diff)

    def _refuse_labels(self, propagate_down):
        if propagate_down[1]:
            raise self.error("labels (bottom 1) have no gradient")

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0
