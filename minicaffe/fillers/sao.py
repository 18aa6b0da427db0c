"""Sparse fillers on Ramanujan graphs: sparsity-aware orthogonal initialisation (SAO), and RG.

All set the blob's mask, so that the structure stays through training. The blob's matrix is (m, n),
m outputs and n inputs; `degree` is the number of nonzeros of a row if m <= n, else of a column
(structured.ramanujan), or `sparsity` says it. An InnerProduct with `transpose` stores the matrix as
(n, m); fillers can't know, nor need they: all here holds for the transposed matrix too.

variant     structure                               values
1           of structure_seed: all layers alike     each block its own
2           of structure_seed: all layers alike     all blocks of a matrix alike
3           each layer its own                      each block its own

crop: where no structure fits m x n, one of a larger matrix is cut to its size
(structured.ramanujan.structure says how, and what rows then look like).
Source: the thesis on sparsity-aware orthogonal initialisation, Section 3.4.
"""

import math

from ..structured.orthogonal_convolution import delta_kernel, whole_kernels
from ..structured.ramanujan import draw_values, orthogonal_values, relu_blocks, to_dense
from .base import (kernel_shape, refuse, register_filler, register_sparse_filler, sparse_structure,
                   write)


@register_sparse_filler("sao")
def sao(param, m, n, rng):
    """A sparse matrix with all singular values `gain`, its blocks Haar distributed.

    Rows are orthogonal if m <= n, else columns. relu: the form [[H, -H], [-H, H]] of a sparse
    H, orthogonal in the sense that structured.orthogonal.relu_form tells; m, n, degree even.
    """
    refuse(param, "sparse", "values")
    structure = sparse_structure(param, m, n, rng)
    weights = param.gain * orthogonal_values(structure, rng, same=param.variant == 2)
    return relu_blocks(structure, weights) if param.relu else (structure, weights)


@register_sparse_filler("ramanujan")
def ramanujan(param, m, n, rng):
    """The structure of sao with independent values: RG-U (UNIFORM) or RG-N (NORMAL).

    Their mean is 0 and their variance gain^2 / max(c, d) in a block of c x d. The squares of a
    block's min(c, d) singular values add up to the squares of its c d values, so their mean is
    gain^2 in expectation, as SAO's is exactly; but where c = d they spread from near 0 to about
    2 gain, with a mean of about 0.85 gain.
    """
    refuse(param, "sparse", "relu")
    structure = sparse_structure(param, m, n, rng)

    def draw(blocks, c, d):
        std, shape = param.gain / math.sqrt(max(c, d)), (blocks, c, d)
        if param.values == param.NORMAL:
            return rng.normal(0, std, shape)
        return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape)

    return structure, draw_values(structure, draw, same=param.variant == 2)


@register_filler("sao_delta")
def sao_delta(blob, param, rng):
    """A Convolution's kernels: the matrix of sao at their centre, floor(k/2) on each axis.

    Whole kernels are masked: where the matrix has a nonzero, the zeros around it may learn. As
    delta_orthogonal, it is orthogonal for group: 1.
    """
    shape, size = kernel_shape(blob)
    structure, weights = sao(param, *shape, rng)
    write(blob, delta_kernel(to_dense(weights, structure), size))
    blob.mask = whole_kernels(structure.mask(), size)
