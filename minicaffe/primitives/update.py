"""Parameter updates in one pass, each rule fused with decay, mask and subtraction.

On the CPU pieces that stay in cache go through all steps of the rule (fused_update); on the GPU one
launch works on all parameters of a net (update_kernels, DeviceUpdate).
"""

import operator

import numpy as np

from ..backend import Kernels
from .parallel import for_each

_PIECE = 1 << 15             # numbers; a rule touches three to five arrays of this size at once
_PER_BLOCK = 1 << 10         # numbers that a block of 256 threads takes on the GPU


def fused_update(rule, arrays, mask=None):
    """Apply `rule(gradient, data, *histories, scratch)` to pieces of flat arrays, then the update.

    arrays = (data, diff, *histories), all flat and of one size and dtype. The rule leaves the
    update in its gradient argument; data -= update follows, so that afterwards diff holds the
    update, as in Caffe. Where `mask` (flat, boolean) is False the update is zero.
    """
    data, diff, *histories = arrays
    size = data.size

    def piece(i, worker):
        span = slice(i * _PIECE, (i + 1) * _PIECE)
        g, w = diff[span], data[span]
        rule(g, w, *(h[span] for h in histories), np.empty_like(g))
        if mask is not None:
            g *= mask[span]
        w -= g

    for_each(piece, -(-size // _PIECE))


# ---- all parameters in one launch

_COLUMNS = 5                 # addresses a parameter: data, diff, mask (0: none), two histories
_UPDATE = """
extern "C" __global__ void update(
        const Wide* table, const Wide* blocks, const double* multipliers, const double* settings,
        double iter_size, double momentum, double momentum2, double rms_decay, double stability,
        Index absolute, Index decoupled) {
    const Wide* block = blocks + 3 * (Wide)blockIdx.x;
    const Wide* row = table + 5 * block[0];
    Real* data = (Real*)row[0];
    Real* diff = (Real*)row[1];
    const unsigned char* mask = (const unsigned char*)row[2];
    Real* first = (Real*)row[3];
    Real* second = (Real*)row[4];
    const double rate = settings[0] * multipliers[2 * block[0]];
    const double weight_decay = multipliers[2 * block[0] + 1];
    const Real r = (Real)rate, rc = (Real)(rate * settings[1]);
    const Real scale = (Real)(settings[2] / iter_size), decay = (Real)weight_decay;
    const Real shrink = (Real)(rate * weight_decay);
    const Real m = (Real)momentum, delta = (Real)stability;
    for (Index i = block[1] + threadIdx.x; i < block[2]; i += blockDim.x) {
        const Real w = data[i];
        Real g = diff[i] * scale, h = first ? first[i] : 0, u = second ? second[i] : 0;
        if (decay != 0 && !decoupled)
            g += absolute ? (w > 0 ? decay : w < 0 ? -decay : 0) : decay * w;
        FORMULA
        if (decoupled) g += shrink * w;
        if (mask && !mask[i]) g = 0;
        if (first) first[i] = h;
        if (second) second[i] = u;
        diff[i] = g;
        data[i] = w - g;
    }
}
"""


def update_kernels(name, formula):
    """The Kernels of a rule for the GPU, `formula` being a few statements of CUDA.

    They turn the gradient g (scaled and decayed) into the update, and may change the histories h
    and u. Of type Real: w (read only), r, the rate; rc = r times Solver.correction(); m, the
    momentum; delta. In double: momentum, momentum2, rms_decay.
    """
    return Kernels(f"update {name}", _UPDATE.replace("FORMULA", formula))


KERNELS = Kernels("parameters", """
extern "C" __global__ void clear(const Wide* table, const Wide* blocks) {
    const Wide* block = blocks + 3 * (Wide)blockIdx.x;
    Real* array = (Real*)table[5 * block[0]];
    for (Index i = block[1] + threadIdx.x; i < block[2]; i += blockDim.x) array[i] = 0;
}

extern "C" __global__ void set_rate(double* settings, double rate, double correction) {
    GRID_LOOP(i, 1) { settings[0] = rate; settings[1] = correction; }
}

__device__ double sum_of_block(double value) {
    __shared__ double sums[256];
    sums[threadIdx.x] = value;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[0];             // the total, in thread 0
}

extern "C" __global__ void square_sums(const Wide* table, const Wide* blocks, double* sums) {
    const Wide* block = blocks + 3 * (Wide)blockIdx.x;
    const Real* diff = (const Real*)table[5 * block[0] + 1];
    double square = 0;
    for (Index i = block[1] + threadIdx.x; i < block[2]; i += blockDim.x)
        square += (double)diff[i] * (double)diff[i];
    square = sum_of_block(square);
    if (threadIdx.x == 0) sums[blockIdx.x] = square;
}

extern "C" __global__ void clip_scale(const double* sums, Index count, double limit,
                                      double* settings) {
    double square = 0;
    for (Index i = threadIdx.x; i < count; i += blockDim.x) square += sums[i];
    square = sum_of_block(square);
    if (threadIdx.x == 0) {
        const double norm = sqrt(square);
        settings[2] = norm <= limit ? 1.0 : limit / norm;
        settings[3] = norm;
    }
}
""")


class ParameterTable:
    """Where a net's parameters lie on the device, so that one launch can work on all of them.

    rows    for each parameter up to five arrays, C-contiguous, of one size (or None); for an
            update: (data, diff, mask or None, *histories)
    Each block of threads finds in `blocks` the number of its parameter, and which entries are its.
    """

    def __init__(self, xp, dtype, rows):
        self.dtype, self.rows = np.dtype(dtype), rows          # keeps the memory
        self.addresses = addresses(rows)
        table = np.zeros((len(rows), _COLUMNS), np.int64)
        for line, row in zip(table, self.addresses):
            line[:len(row)] = row
        blocks = [(k, start, min(start + _PER_BLOCK, row[0].size)) for k, row in enumerate(rows)
                  for start in range(0, row[0].size, _PER_BLOCK)]
        self.table = xp.asarray(table)
        self.blocks = xp.asarray(np.array(blocks, np.int64).reshape(-1, 3))
        self.count = len(blocks)

    def is_of(self, rows):
        """Whether these arrays still lie where the table says."""
        if len(rows) == len(self.rows) and all(all(map(operator.is_, row, known))
                                               for row, known in zip(rows, self.rows)):
            return True
        return addresses(rows) == self.addresses

    def clear(self):
        """Set the first array of every row to zero."""
        KERNELS.by_blocks("clear", self.dtype, self.count, self.table, self.blocks)


def addresses(rows):
    """The addresses of device arrays, 0 for None."""
    return [[0 if array is None else array.data.ptr for array in row] for row in rows]


class DeviceUpdate:
    """The update of all parameters on the GPU: one launch, two more where gradients are clipped.

    multipliers    (lr_mult, weight_decay * decay_mult) of each parameter of the table
    The rate, the rule's correction and the clipping factor are read from the device's memory, so
    that a launch never depends on what the host knows. They are written, in the order of launches,
    only when they change.
    """

    def __init__(self, xp, kernels, table, multipliers):
        self.kernels, self.table, self.given = kernels, table, multipliers
        self.multipliers = xp.asarray(np.array(multipliers, np.float64).reshape(-1, 2))
        # rate, correction, clipping factor, norm of all gradients (where it is clipped)
        self.settings = xp.asarray(np.array([0.0, 1.0, 1.0, 0.0]))
        self.sums = xp.empty(max(1, table.count), np.float64)
        self._rate = None

    def set_rate(self, rate, correction):
        """The base rate of the next update, and the rule's factor on it."""
        if self._rate != (rate, correction):
            self._rate = rate, correction
            KERNELS("set_rate", self.table.dtype, 1, self.settings, float(rate), float(correction))

    def clip(self, limit):
        """Let the update scale the gradients so that their common norm is at most `limit`."""
        table = self.table
        KERNELS.by_blocks("square_sums", table.dtype, table.count, table.table, table.blocks,
                          self.sums)
        KERNELS.by_blocks("clip_scale", table.dtype, 1, self.sums, table.count, float(limit),
                          self.settings)

    def norm_and_factor(self):
        """(norm of all gradients, clipping factor) of the last clip; waits for the device."""
        factor, norm = self.settings.get()[2:]
        return float(norm), float(factor)

    def __call__(self, param):
        """Update all parameters, by the constants of a SolverParameter."""
        table = self.table
        self.kernels.by_blocks(
            "update", table.dtype, table.count, table.table, table.blocks, self.multipliers,
            self.settings, float(param.iter_size), param.momentum, param.momentum2,
            param.rms_decay, param.delta, int(param.regularization_type == "L1"),
            int(param.decoupled_weight_decay))
