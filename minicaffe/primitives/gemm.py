"""Matrix products: cut into pieces that threads share on the CPU, one cuBLAS call on the GPU."""

from .parallel import for_each

_FLOPS_PER_PIECE = 4e6       # under this, handing a piece to a thread costs more than it saves
_MOST_PIECES = 16


def matmul(xp, a, b, out):
    """out = a b for matrices a (m, k), b (k, n), out (m, n); a view of any strides BLAS can take.

    The longer side of `out` is cut into pieces; their number depends on the sizes only.
    """
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


def batched_matmul(xp, a, b, out, add=False):
    """out_i = a_i b_i, or out_i += a_i b_i if `add`; a (B, m, k), b (B, k, n), out (B, m, n).

    All may be views, as the column blocks of a matrix x (M, B k) are: x seen as (B, M, k).
    """
    if add:
        out += xp.matmul(a, b)
    else:
        xp.matmul(a, b, out=out)
