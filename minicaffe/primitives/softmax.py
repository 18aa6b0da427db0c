"""Softmax, which several layer families share."""

import math

from ..backend import Kernels

# Rows of C numbers that lie I apart. A block of 256 threads takes 256 / lanes rows side by side,
# `lanes` (a power of 2) threads a row; neighbours in a warp read neighbours in memory: numbers of
# one row where I is 1, else of rows side by side.
ROW_TEXT = """
struct Row { Index number, at; int lane, lanes, apart; bool inside; };

#define ROW_LOOP(first, rows, lanes) \\
    for (Index first = blockIdx.x * (256 / lanes); first < rows; first += gridDim.x * (256 / lanes))

__device__ Row row_of(Index first, Index rows, Index C, Index I, Index threads)
{
    const int t = threadIdx.x, lanes = threads, many = 256 / lanes;
    const Index number = first + (I == 1 ? t / lanes : t % many);
    return Row{number, number / I * I * C + number % I, I == 1 ? t % lanes : t / many, lanes,
               I == 1 ? 1 : many, number < rows};
}

// The sum, or the maximum, of what the threads of a row hold; all threads of a block must call it.
__device__ Real reduce_row(Real value, Row row, bool maximum)
{
    __shared__ Real shared[256];
    const int t = threadIdx.x;
    shared[t] = value;
    __syncthreads();
    for (int half = row.lanes / 2; half > 0; half /= 2) {
        if (row.lane < half) {
            const Real mine = shared[t], other = shared[t + half * row.apart];
            shared[t] = maximum ? (other > mine ? other : mine) : mine + other;
        }
        __syncthreads();
    }
    value = shared[t - row.lane * row.apart];
    __syncthreads();
    return value;
}

// y = softmax of x, which may be y itself, in one row; each thread writes its own numbers.
__device__ void softmax_row(Row row, const Real* x, Real* y, Index C, Index I)
{
    Real most = row.inside ? x[row.at] : 0, sum = 0;
    for (Index c = row.lane; row.inside && c < C; c += row.lanes)
        if (x[row.at + c * I] > most)
            most = x[row.at + c * I];
    most = reduce_row(most, row, true);
    for (Index c = row.lane; row.inside && c < C; c += row.lanes)
        sum += y[row.at + c * I] = exp(x[row.at + c * I] - most);
    sum = reduce_row(sum, row, false);
    for (Index c = row.lane; row.inside && c < C; c += row.lanes)
        y[row.at + c * I] /= sum;
}
"""

_KERNELS = Kernels("softmax", ROW_TEXT + """
extern "C" __global__ void forward(Index rows, Index C, Index I, Index lanes, const Real* x,
                                   Real* y)
{
    ROW_LOOP(first, rows, lanes)
        softmax_row(row_of(first, rows, C, I, lanes), x, y, C, I);
}

extern "C" __global__ void backward(Index rows, Index C, Index I, Index lanes, const Real* y,
                                    const Real* dy, Real* dx)
{
    ROW_LOOP(first, rows, lanes) {
        const Row row = row_of(first, rows, C, I, lanes);
        Real sum = 0;
        for (Index c = row.lane; row.inside && c < C; c += row.lanes)
            sum += y[row.at + c * I] * dy[row.at + c * I];
        sum = reduce_row(sum, row, false);
        for (Index c = row.lane; row.inside && c < C; c += row.lanes)
            dx[row.at + c * I] = (dy[row.at + c * I] - sum) * y[row.at + c * I];
    }
}
""")


def softmax(xp, x, axis, out):
    """out = exp(x) / sum over `axis` of exp(x); the maximum comes off first: no overflow."""
    xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    xp.exp(out, out=out)
    xp.divide(out, out.sum(axis=axis, keepdims=True), out=out)


def softmax_backward(xp, y, dy, axis, dx, product):
    """dx_c = (dy_c - sum_k dy_k y_k) y_c along `axis`; dx may be dy. product: scratch like y."""
    xp.multiply(dy, y, out=product)
    xp.subtract(dy, product.sum(axis=axis, keepdims=True), out=dx)
    dx *= y


# ---- GPU

def softmax_gpu(x, axis, out):
    """softmax on the device; `out` may be x."""
    launch = row_launch(x.shape, axis)
    _KERNELS.by_blocks("forward", x.dtype, launch[0], *launch[1:], x, out)


def softmax_backward_gpu(y, dy, axis, dx):
    """softmax_backward on the device."""
    launch = row_launch(y.shape, axis)
    _KERNELS.by_blocks("backward", y.dtype, launch[0], *launch[1:], y, dy, dx)


def row_launch(shape, axis):
    """(number of blocks, then what a kernel of ROW_TEXT begins with: rows, C, I, lanes).

    A row gets as many threads as it has numbers, at most 256; where its numbers are apart, only as
    many as it takes to keep the device busy.
    """
    C, I = shape[axis], math.prod(shape[axis + 1:])
    rows, lanes = math.prod(shape[:axis]) * I, 1
    while lanes < min(C, 256) and (I == 1 or rows * lanes < 1 << 16):
        lanes *= 2
    return min(-(-rows * lanes // 256), 1024), rows, C, I, lanes
