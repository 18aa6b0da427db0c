"""Matrix products: cut into pieces that threads share on the CPU, one cuBLAS call on the GPU."""

import numpy as np

from .. import backend
from ..errors import Error
from .parallel import for_each

_FLOPS_PER_PIECE = 4e6       # under this, handing a piece to a thread costs more than it saves
_MOST_PIECES = 16


def matmul(xp, a, b, out):
    """out = a b for matrices a (m, k), b (k, n), out (m, n); a view of any strides BLAS can take.

    On the CPU the longer side of `out` is cut into pieces; their number depends on the sizes only.
    """
    if xp is not np:
        _gpu_product(xp, a, b, out, False)
        return
    m, k = a.shape
    n = b.shape[1]
    pieces = int(min(_MOST_PIECES, max(m, n) // 16, 2 * m * n * k / _FLOPS_PER_PIECE))
    if pieces < 2:
        xp.matmul(a, b, out=out)
        return
    along_rows, side = m >= n, max(m, n)
    step = -(-side // (16 * pieces)) * 16     # multiples of 16: whole SIMD registers

    def piece(i, worker):
        span = slice(i * step, (i + 1) * step)
        if along_rows:
            xp.matmul(a[span], b, out=out[span])
        else:
            xp.matmul(a, b[:, span], out=out[:, span])

    for_each(piece, -(-side // step))


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
    elif add:
        out += xp.matmul(a, b)
    else:
        xp.matmul(a, b, out=out)


# ---- the GPU's: everything is in the arguments of one cuBLAS call

# cuBLAS reads the factors alpha and beta from the host's memory: 0 or 1, at addresses that stay
_FACTORS = {kind: np.array([0, 1], kind) for kind in "fd"}
_ADDRESSES = {kind: (a.ctypes.data, a.ctypes.data + a.itemsize) for kind, a in _FACTORS.items()}
_NAMES = {"f": ("sgemm", "sgemmStridedBatched"), "d": ("dgemm", "dgemmStridedBatched")}


def _gpu_product(xp, a, b, out, add):
    """out = a b or out += a b, 2-D or batched, by one cuBLAS call."""
    binding, handle = backend.cublas()
    if binding is None:
        if add:
            out += xp.matmul(a, b)
        else:
            xp.matmul(a, b, out=out)
        return
    if not out.size or not a.shape[-1]:                 # nothing to write, or sums of nothing
        if not add:
            out.fill(0)
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
    *_, m, k = a.shape
    *_, n = b.shape
    batch = out.shape[0] if out.ndim == 3 else 1
    if out.shape[-2:] != (m, n) or b.shape[-2] != k or not a.dtype == b.dtype == out.dtype:
        raise Error(f"a product of {a.dtype} {a.shape} by {b.dtype} {b.shape} can't be "
                    f"written to {out.dtype} {out.shape}")
    views = [_blas_view(array, batch) for array in (a, b, out)]
    if batch > 1 and not views[2][2]:
        raise Error(f"the {batch} products of a batch can't be written to one place")
    steps = [view[1:] for view in views]
    if views[2][0]:                     # out is column-major, as cuBLAS has it
        return False, (1 - views[0][0], 1 - views[1][0]), (m, n, k), steps, batch
    return (True, (views[1][0], views[0][0]), (n, m, k), [steps[1], steps[0], steps[2]], batch)


def _blas_view(array, batch):
    """(whether it is column-major, leading dimension, step in the batch) of a matrix or a batch.

    The steps along axes of size 1 may be anything and are not looked at.
    """
    rows, columns = array.shape[-2:]
    down, across = (step // array.itemsize for step in array.strides[-2:])
    step = 0
    if array.ndim == 3 and array.shape[0] > 1:
        step = array.strides[0] // array.itemsize
    if array.ndim == 3 and array.shape[0] not in (1, batch) or step < 0:
        raise Error(f"a batch of {batch} products can't take an array of shape "
                    f"{array.shape} and strides {array.strides}")
    if (across == 1 or columns <= 1) and (rows <= 1 or down >= max(1, columns)):
        return 0, down if rows > 1 else max(1, columns), step
    if (down == 1 or rows <= 1) and (columns <= 1 or across >= max(1, rows)):
        return 1, across if columns > 1 else max(1, rows), step
    raise Error(f"a product can't take a view of shape {array.shape} and strides "
                    f"{array.strides}: its rows or its columns must be contiguous")
