"""Matrix products: cut into pieces that threads share on the CPU, one launch on the GPU."""

import functools
import math

import numpy as np

from .. import backend
from ..backend import Kernels
from ..errors import Error
from . import parallel
from .elementwise import scratch_arrays

_FLOPS_PER_PIECE = 4e6       # under this, handing a piece to a thread costs more than it saves
_FLOPS_PER_RANGE = 5e6       # the same for a range of small products
_MOST_PIECES = 16
_GROUP_WIDTH = 16            # smaller blocks are multiplied in groups of this width, see _way
_LEAST = 1 << 19             # multiplications: for fewer of them no choice is worth making
_COPIED = 1 << 20            # multiplications: in smaller products a transposed factor is slow


def matmul(xp, a, b, out):
    """out = a b for matrices a (m, k), b (k, n), out (m, n); a view of any strides BLAS can take.

    On the CPU the longer side of `out` is cut into pieces; their number depends on the sizes only.
    """
    if xp is not np:
        _gpu_product(xp, a, b, out, False)
        return
    cuts = _cuts(a, b)
    parallel.for_each(lambda i, worker: np.matmul(*_cut(a, b, out, cuts[i])), len(cuts))


def _cuts(a, b, most=_MOST_PIECES):
    """The spans of rows and columns [(rows, columns), ...] that a product a b is computed in."""
    (m, k), n = a.shape, b.shape[1]
    pieces = int(min(most, max(m, n) // 16, 2 * m * n * k / _FLOPS_PER_PIECE))
    if pieces < 2:
        return [(slice(None), slice(None))]
    step = -(-max(m, n) // (16 * pieces)) * 16     # multiples of 16: whole SIMD registers
    spans = [slice(i, i + step) for i in range(0, max(m, n), step)]
    return [(span, slice(None)) if m >= n else (slice(None), span) for span in spans]


def _cut(a, b, out, spans):
    """a, b and out of the product's part in these spans of rows and columns."""
    rows, columns = spans
    return a[rows], b[:, columns], out[rows, columns]


def add_matmul(xp, a, b, out, scratch):
    """out += a b; on the CPU `scratch`, an array like out, holds the product first.

    The GPU adds as it multiplies: scratch may be None there.
    """
    if xp is np:
        matmul(xp, a, b, out=scratch)
        out += scratch
    else:
        _gpu_product(xp, a, b, out, True)


def batched_matmul(xp, a, b, out, add=False):
    """out_i = a_i b_i, or out_i += a_i b_i if `add`; a (B, m, k), b (B, k, n), out (B, m, n).

    All may be views, as the column blocks of a matrix x (M, B k) are: x seen as (B, M, k).
    On the GPU that is one launch, which takes the views as they are, whether it writes or adds.
    """
    if xp is not np:
        _gpu_product(xp, a, b, out, add)
        return
    work = math.prod(a.shape) * b.shape[2]                    # multiplications
    if work < _LEAST and len(a) <= 32 and a.shape[2] > 1:        # NumPy's outer products are slow
        _multiply_at_once(a, b, out, add)
    elif work > len(a) * _FLOPS_PER_PIECE:
        _large_products(a, b, out, add)
    else:
        _small_products(a, b, out, add)


# ---- the CPU's batched products: how they are cut, and what is multiplied at once

def _multiply_at_once(a, b, out, add):
    if add:
        product, = scratch_arrays(np, 1, out.shape, out.dtype)
        np.add(out, np.matmul(a, b, out=product), out=out)
    else:
        np.matmul(a, b, out=out)


def _large_products(a, b, out, add):
    """Each is a piece, or several where there are few."""
    cuts = _cuts(a[0], b[0], -(-_MOST_PIECES // len(a)))

    def piece(i, worker):
        block, part = divmod(i, len(cuts))
        _multiply_at_once(*_cut(a[block], b[block], out[block], cuts[part]), add)

    parallel.for_each(piece, len(a) * len(cuts))


def _small_products(a, b, out, add):
    """They are multiplied in groups; what is left over of the last group, one by one."""
    multiply, group = _way(a, b, out, add)
    whole = len(a) - len(a) % group
    multiply(a[:whole], b[:whole], out[:whole], add, group)
    if whole < len(a):
        multiply(a[whole:], b[whole:], out[whole:], add, 1)


def _way(a, b, out, add):
    """(function, group size) for products a_i b_i.

    With the blocks w_i (k, n) of a block diagonal matrix, x = (x_1, x_2 ...) and y likewise side by
    side, g products y_i = x_i w_i are one with the matrix (gk, gn) of g blocks; and g products
    w_i = x_i^T y_i are the diagonal blocks of one. That is g times the work, but BLAS spends on
    small matrices more on the call, and on fetching a few numbers of each row of x, than on the
    work. Measured: best where a group is about 16 wide.
    """
    (B, m, k), n = a.shape, b.shape[2]
    if m >= 4 and not add and m * k * n < _COPIED:
        group = _group_size(B, k, n)
        if group > 1 and _side_by_side(a) and _side_by_side(out):
            return _multiply_columns, group
        if b.strides[2] != b.itemsize:
            return _multiply_columns, 1
    if k >= 4 and _side_by_side(a.swapaxes(1, 2)) and _side_by_side(b):
        return _multiply_rows, _group_size(B, m, n)
    return _multiply_rows, 1


def _group_size(B, rows, columns):
    """How many of B blocks are multiplied at once."""
    size = round(_GROUP_WIDTH / (rows * columns) ** 0.5)
    return min(B, max(size, 2) if min(rows, columns) == 1 else max(size, 1))


def _side_by_side(a):
    """Whether the matrices of a (B, m, k) are neighbouring columns of one matrix (m, B k)."""
    return a.strides[0] == a.shape[2] * a.strides[2]


def _merged(a, group):
    """Matrices side by side, (B, m, k), as (B / group, m, group k): a view."""
    B, m, k = a.shape
    return a.swapaxes(0, 1).reshape(m, B // group, group * k).swapaxes(0, 1)


def _multiply_columns(a, b, out, add, group):
    """out_i = a_i b_i, by the group with block diagonal matrices of the b_i; `add` is false."""
    B, k, n = b.shape
    B //= group
    spread, = scratch_arrays(np, 1, (B, group * k, group * n), out.dtype)
    diagonal, blocks = _diagonal(spread, group), b.reshape(B, group, k, n)

    def fill(span):
        if group > 1:
            spread[span] = 0
        diagonal[span] = blocks[span]

    _multiply(_merged(a, group), spread, _merged(out, group), before=fill)


def _multiply_rows(a, b, out, add, group):
    """out_i = a_i b_i or out_i += a_i b_i; by the group, of which the diagonal blocks are kept."""
    if group == 1 and not add:
        _multiply(a, b, out)
        return
    (B, m, k), n = a.shape, b.shape[2]
    B //= group
    product, = scratch_arrays(np, 1, (B, group * m, group * n), out.dtype)
    blocks, target = _diagonal(product, group), out.reshape(B, group, m, n)

    def keep(span):
        if add:
            np.add(target[span], blocks[span], out=target[span])
        else:
            target[span] = blocks[span]

    _multiply(a.reshape(B, group * m, k), _merged(b, group), product, after=keep)


def _multiply(a, b, out, before=None, after=None):
    """out_i = a_i b_i, in ranges of i, a few a thread, between before(range) and after(range).

    How many makes no difference to the bits: every product is a call of BLAS of its own.
    """
    (B, m, k), n = a.shape, b.shape[2]
    ranges = max(1, min(B, 4 * parallel.num_threads, int(2 * B * m * k * n / _FLOPS_PER_RANGE)))
    if ranges > parallel.num_threads:
        ranges -= ranges % parallel.num_threads
    step = -(-B // ranges)

    def piece(i, worker):
        span = slice(i * step, (i + 1) * step)
        if before:
            before(span)
        np.matmul(a[span], b[span], out=out[span])
        if after:
            after(span)

    parallel.for_each(piece, -(-B // step))


def _diagonal(a, group):
    """The diagonal blocks (B, group, m, n) of a (B, group m, group n): a view to write to."""
    B, rows, columns = a.shape
    return np.einsum("bgmgn->bgmn", a.reshape(B, group, rows // group, group, columns // group))


# ---- the GPU's: everything is in the arguments of one cuBLAS call

# cuBLAS reads the factors alpha and beta from the host's memory: 0 or 1, at addresses that stay
_FACTORS = {kind: np.array([0, 1], kind) for kind in "fd"}
_ADDRESSES = {kind: (a.ctypes.data, a.ctypes.data + a.itemsize) for kind, a in _FACTORS.items()}
_NAMES = {"f": ("sgemm", "sgemmStridedBatched"), "d": ("dgemm", "dgemmStridedBatched")}

# Blocks of up to 16 x 16 leave most of a cuBLAS tile empty, and rows of a few numbers, one matrix
# at a time, most of a memory access. Here neighbouring threads take neighbouring columns, then
# blocks: they read and write whole rows of x and y. A thread adds up four rows of one column; where
# sums are long, as in the weights' gradient, eight threads share them.
_SMALL = 16
_LONGEST = 1024              # sums that eight threads should share
_BLOCKS = Kernels("small products", r"""
extern "C" __global__ void products(Index count, Index B, Index m, Index k, Index n,
                                    Index a_step, Index a_row, Index a_column,
                                    Index b_step, Index b_row, Index b_column,
                                    Index out_step, Index out_row, Index out_column, Index add,
                                    const Real *a_view, const Real *b_view, Real *out_view)
{
    GRID_LOOP(t, count) {
        const Index c = t % n, i = t / n % B, first = t / n / B * 4;
        const int rows = m - first < 4 ? m - first : 4;
        const Real *a = a_view + i * a_step + first * a_row;
        const Real *b = b_view + i * b_step + c * b_column;
        Real sums[4] = {0};
        for (int q = 0; q < k; q++, a += a_column, b += b_row) {
            const Real factor = *b;
            #pragma unroll
            for (int r = 0; r < 4; r++)
                if (r < rows)
                    sums[r] += a[r * a_row] * factor;
        }
        Real *out = out_view + i * out_step + first * out_row + c * out_column;
        #pragma unroll
        for (int r = 0; r < 4; r++)
            if (r < rows)
                out[r * out_row] = add ? out[r * out_row] + sums[r] : sums[r];
    }
}

extern "C" __global__ void long_products(Index B, Index m, Index k, Index n,
                                         Index a_step, Index a_row, Index a_column,
                                         Index b_step, Index b_row, Index b_column,
                                         Index out_step, Index out_row, Index out_column, Index add,
                                         const Real *a_view, const Real *b_view, Real *out_view)
{
    __shared__ Real part[4][256];
    const Index across = (B * n + 31) / 32, column = blockIdx.x % across * 32 + threadIdx.x % 32;
    const Index i = column / n, c = column % n, first = blockIdx.x / across * 4;
    const int rows = m - first < 4 ? m - first : 4, lane = threadIdx.x / 32;
    Real sums[4] = {0};
    if (column < B * n) {
        const Real *a = a_view + i * a_step + first * a_row + lane * a_column;
        const Real *b = b_view + i * b_step + c * b_column + lane * b_row;
        for (Index q = lane; q < k; q += 8, a += 8 * a_column, b += 8 * b_row) {
            const Real factor = *b;
            #pragma unroll
            for (int r = 0; r < 4; r++)
                if (r < rows)
                    sums[r] += a[r * a_row] * factor;
        }
    }
    for (int r = 0; r < 4; r++)
        part[r][threadIdx.x] = sums[r];
    for (int half = 128; half >= 32; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            for (int r = 0; r < 4; r++)
                part[r][threadIdx.x] += part[r][threadIdx.x + half];
    }
    if (threadIdx.x < 32 && column < B * n) {
        Real *out = out_view + i * out_step + first * out_row + c * out_column;
        for (int r = 0; r < rows; r++)
            out[r * out_row] = add ? out[r * out_row] + part[r][threadIdx.x] : part[r][threadIdx.x];
    }
}
""")


def _gpu_product(xp, a, b, out, add):
    """out = a b or out += a b, 2-D or batched, by one cuBLAS call or one kernel."""
    if not out.size or not a.shape[-1]:                 # nothing to write, or sums of nothing
        if not add:
            out.fill(0)
        return
    if out.ndim == 3 and out.shape[0] > 1 and out.shape[2] <= _SMALL:
        if _small_product(a, b, out, add):
            return
    binding, handle = backend.cublas()
    if binding is None:
        if add:
            out += xp.matmul(a, b)
        else:
            xp.matmul(a, b, out=out)
        return
    swapped, operations, sizes, steps, batch = gemm_arguments(a, b, out)
    first, second = (b, a) if swapped else (a, b)
    kind = out.dtype.char
    alpha, beta = _ADDRESSES[kind][1], _ADDRESSES[kind][bool(add)]
    (lda, stride_a), (ldb, stride_b), (ldc, stride_c) = steps
    if batch == 1:
        getattr(binding, _NAMES[kind][0])(
            handle, *operations, *sizes, alpha, first.data.ptr, lda, second.data.ptr, ldb,
            beta, out.data.ptr, ldc)
    else:
        getattr(binding, _NAMES[kind][1])(
            handle, *operations, *sizes, alpha, first.data.ptr, lda, stride_a,
            second.data.ptr, ldb, stride_b, beta, out.data.ptr, ldc, stride_c, batch)


def _small_product(a, b, out, add):
    """The same for a batch of small blocks, by a kernel; False: they are none."""
    m, k = a.shape[-2:]
    if k > _SMALL and (m > _SMALL or k > _LONGEST) or not a.ndim == b.ndim == 3:
        return False
    gemm_arguments(a, b, out)                           # checks that they fit
    sizes = _small_arguments((a.shape, a.strides), (b.shape, b.strides), (out.shape, out.strides),
                             out.itemsize)
    B, _, _, n = sizes[:4]
    if k <= _SMALL:
        count = B * n * -(-m // 4)
        _BLOCKS("products", out.dtype, count, count, *sizes, int(add), a, b, out)
    else:
        blocks = -(-B * n // 32) * -(-m // 4)
        _BLOCKS.by_blocks("long_products", out.dtype, blocks, *sizes, int(add), a, b, out)
    return True


def gemm_arguments(a, b, out):
    """What cuBLAS has to be told of out = a b: (swapped, operations, sizes, steps, batch).

    a (m, k), b (k, n), out (m, n), or a batch of B of each; a and b may have a batch of 1 instead,
    or a step of 0 there, and are the same in all products then.
    swapped     whether b is the first factor. cuBLAS counts matrices down their columns, so that
                it sees a row-major matrix transposed: out^T = b^T a^T.
    operations  0 or 1 for the first and the second factor: as cuBLAS sees it, or transposed
    sizes       rows and columns of what cuBLAS writes, and the length of the sums
    steps       (leading dimension, step from one matrix to the next) of first, second and out
    Raises Error for views with no unit step within rows or columns, for overlapping rows,
    and for types or shapes that don't fit.
    """
    return _arguments((a.shape, a.strides, a.dtype), (b.shape, b.strides, b.dtype),
                      (out.shape, out.strides, out.dtype))


@functools.lru_cache(maxsize=1 << 12)     # a training step asks for the same ones again and again
def _arguments(a, b, out):
    """gemm_arguments of three (shape, strides, dtype)."""
    (a_shape, _, _), (b_shape, _, _), (out_shape, _, _) = a, b, out
    (m, k), n = a_shape[-2:], b_shape[-1]
    batch = out_shape[0] if len(out_shape) == 3 else 1
    if out_shape[-2:] != (m, n) or b_shape[-2] != k or not a[2] == b[2] == out[2]:
        raise Error(f"a product of {a[2]} {a_shape} by {b[2]} {b_shape} can't be written to "
                    f"{out[2]} {out_shape}")
    views = [_blas_view(*array, batch) for array in (a, b, out)]
    if batch > 1 and not views[2][2]:
        raise Error(f"the {batch} products of a batch can't be written to one place")
    steps = [view[1:] for view in views]
    if views[2][0]:                     # out is column-major, as cuBLAS has it
        return False, (1 - views[0][0], 1 - views[1][0]), (m, n, k), steps, batch
    return (True, (views[1][0], views[0][0]), (n, m, k), [steps[1], steps[0], steps[2]], batch)


@functools.lru_cache(maxsize=1 << 12)
def _small_arguments(a, b, out, itemsize):
    """Sizes and steps as the kernels for small blocks take them, from three (shape, strides)."""
    (_, m, k), (B, _, n) = a[0], out[0]
    steps = [step // itemsize if axis or shape[0] > 1 else 0
             for shape, strides in (a, b, out) for axis, step in enumerate(strides)]
    return (B, m, k, n, *steps)


def _blas_view(shape, strides, dtype, batch):
    """(whether it is column-major, leading dimension, step in the batch) of a matrix or a batch.

    The steps along axes of size 1 may be anything and are not looked at.
    """
    (rows, columns), matrices = shape[-2:], math.prod(shape[:-2])
    step, down, across = (0, *(s // dtype.itemsize for s in strides))[-3:]
    step = step if matrices > 1 else 0
    if matrices not in (1, batch) or step < 0:
        raise Error(f"a batch of {batch} products can't take an array of shape {shape} and "
                    f"strides {strides}")
    if (across == 1 or columns == 1) and (rows == 1 or down >= columns):
        return 0, down if rows > 1 else columns, step
    if (down == 1 or rows == 1) and (columns == 1 or across >= rows):
        return 1, across if columns > 1 else rows, step
    raise Error(f"a product can't take a view of shape {shape} and strides {strides}: its rows or "
                "its columns must be contiguous")
