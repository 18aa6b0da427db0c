"""What several families of losses share: the divisor, and on the GPU the sum over all blocks."""

import numpy as np

from ..backend import Kernels

_MOST_BLOCKS = 1024

# A loss's kernel sums up, thread by thread, its terms, the samples that count and where the first
# wrong label is, and ends with `finish_block`. Sums are kept in double precision.
LOSS_TEXT = """
struct Share { double loss, count, wrong; };            // wrong: a flat place, NOWHERE if none

#define NOWHERE 1e300

// A label as a class; -1 where it is ignored (`ignore` is a NaN if none is), -2 where it is none.
__device__ Index class_of(Real label, Index classes, double ignore)
{
    if (label == (Real)ignore)
        return -1;
    return label >= 0 && label < classes && label == floor(label) ? (Index)label : -2;
}

__device__ void count_label(Share& share, Index label, Index place)
{
    if (label >= 0)
        share.count += 1;
    else if (label == -2 && place < share.wrong)
        share.wrong = place;
}

__device__ Share sum_of_block(Share mine)
{
    __shared__ double loss[256], count[256], wrong[256];
    const int t = threadIdx.x;
    loss[t] = mine.loss;
    count[t] = mine.count;
    wrong[t] = mine.wrong;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) {
            loss[t] += loss[t + half];
            count[t] += count[t + half];
            if (wrong[t + half] < wrong[t])
                wrong[t] = wrong[t + half];
        }
        __syncthreads();
    }
    return Share{loss[0], count[0], wrong[0]};
}

__device__ void finish_block(Share mine, double* shares)
{
    const Share all = sum_of_block(mine);
    if (threadIdx.x == 0) {
        shares[3 * blockIdx.x] = all.loss;
        shares[3 * blockIdx.x + 1] = all.count;
        shares[3 * blockIdx.x + 2] = all.wrong;
    }
}
"""

_KERNELS = Kernels("loss", LOSS_TEXT + """
extern "C" __global__ void finish(Index blocks, const double* shares, double divisor,
                                  const Real* labels, double* found, Real* n, Real* loss)
{
    Share mine = {0, 0, NOWHERE};
    for (Index b = threadIdx.x; b < blocks; b += blockDim.x) {
        mine.loss += shares[3 * b];
        mine.count += shares[3 * b + 1];
        if (shares[3 * b + 2] < mine.wrong)
            mine.wrong = shares[3 * b + 2];
    }
    const Share all = sum_of_block(mine);
    if (threadIdx.x == 0) {
        const double by = divisor > 0 ? divisor : all.count > 1 ? all.count : 1;
        n[0] = by;
        loss[0] = all.loss / by;
        if (all.wrong < NOWHERE && found[0] < 0) {             // found is kept until it is checked
            found[0] = all.wrong;
            found[1] = labels[(Index)all.wrong];
        }
    }
}
""")


def normalization_of(param, default=None):
    """The mode that a LossParameter asks for: `normalization`, else the older `normalize` (VALID
    if true, BATCH_SIZE if false), else `default` (None: the schema's, VALID)."""
    if not param.HasField("normalization"):
        if param.HasField("normalize"):
            return param.VALID if param.normalize else param.BATCH_SIZE
        if default is not None:
            return default
    return param.normalization


def known_divisor(param, mode, full, batch):
    """The divisor n, at least 1, of the modes in which sizes tell it; 0 for VALID, where data do.

    FULL: `full`, the number of labels; BATCH_SIZE: `batch`; NONE: 1.
    """
    if mode == param.VALID:
        return 0
    return max({param.FULL: full, param.BATCH_SIZE: batch, param.NONE: 1}[mode], 1)


def normalizer(param, mode, full, batch, valid):
    """The divisor n; for VALID the number of True in `valid`, at least 1."""
    return known_divisor(param, mode, full, batch) or np.maximum(valid.sum(), 1)


class LossSum:
    """A loss on the GPU, in two launches: shares by blocks, then their sum divided by n.

    n        () the divisor, left on the device for the gradient
    reader   an IndexReader, which is told of wrong labels
    """

    def __init__(self, xp, dtype, reader=None):
        if xp is not np:
            self.n = xp.zeros((), dtype)
            self._shares = xp.zeros((_MOST_BLOCKS, 3))
            self._found = reader.found if reader else xp.full(2, -1.0)   # no reader: never written

    def forward(self, kernels, function, work, arguments, labels, loss, divisor=0, blocks=None):
        """loss () = the sum of terms over n, n = divisor or, for 0, the number that count.

        kernels, function    of LOSS_TEXT: function(work, *arguments, shares), a thread at least
                             for each of `work` samples, or on that many blocks
        labels               what a wrong label is read from
        """
        blocks = min(-(-work // 256), _MOST_BLOCKS) if blocks is None else blocks
        kernels.by_blocks(function, loss.dtype, blocks, work, *arguments, self._shares)
        _KERNELS.by_blocks("finish", loss.dtype, 1, blocks, self._shares, float(divisor), labels,
                           self._found, self.n, loss)
