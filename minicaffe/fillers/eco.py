"""Explicitly constructed orthogonal convolutions (ECO): orthogonal matrices in the Fourier domain.

For a Convolution with k x k kernels on s x s images, stride 1, pad_mode CYCLIC, dilation s / k and
pad (s / k)(k - 1) / 2, so that output and input are of one size. Then the layer, before its bias,
has all singular values `gain`. With fewer inputs than outputs (c_in < c_out) it keeps the norm: it
is the convolution of c_out channels on images with c_out - c_in channels of zeros. With more, it
is the convolution of c_in channels of which the first c_out are kept: its backward pass keeps
the norm of the gradient. Both are drawn at once: columns or rows cut from a Haar distributed
matrix are one with orthonormal columns or rows. For stride b, SpaceToDepth with block_size b goes
before, and the layer has b^2 times as many inputs. At another dilation or padding the values are
the same and nothing is orthogonal. Groups: as in delta_orthogonal.
Source: Yu et al., ICLR 2022; the thesis on sparsity-aware orthogonal initialisation, 3.4.4.2.
"""

import numpy as np

from ..structured.orthogonal import orthonormal
from ..structured.orthogonal_convolution import (free_frequencies, kernel_of_spectrum,
                                                 whole_kernels)
from ..structured.ramanujan import orthogonal_values, to_dense
from .base import (kernel_shape, refuse, refuse_others, register_filler, sparse_structure,
                   write)


@register_filler("eco")
def eco(blob, param, rng):
    """gain times kernels whose Fourier transform at each frequency is a Haar distributed matrix.

    P[i, j] = P[(k-i) % k, (k-j) % k] makes them real, and leaves (k^2 + 1) / 2 matrices to draw
    for odd k and (k^2 + 4) / 2 for even k.
    """
    refuse_others(param, but=["gain"])
    shape, size = kernel_shape(blob)
    matrices = orthonormal(*shape, rng, (free_frequencies(size).shape[1],))
    write(blob, param.gain * kernel_of_spectrum(matrices, size))


@register_filler("sao_eco")
def sao_eco(blob, param, rng):
    """As eco, with matrices of sao, all on one structure: whole kernels are zero, and masked.

    The structure is of c_out x c_in; where one is larger, it is that of the square matrix cut to
    size, its blocks losing as many outputs, or inputs, each.
    """
    refuse(param, "sparse", "relu", "values")
    shape, size = kernel_shape(blob)
    structure = sparse_structure(param, *shape, rng)
    matrices = np.stack([
        to_dense(orthogonal_values(structure, rng, same=param.variant == 2), structure)
        for _ in free_frequencies(size).T])
    write(blob, param.gain * kernel_of_spectrum(matrices, size))
    blob.mask = whole_kernels(structure.mask(), size)
