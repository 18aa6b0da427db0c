"""Dense orthogonal fillers."""

from ..structured.orthogonal import orthonormal, relu_form
from ..structured.orthogonal_convolution import delta_kernel
from .base import kernel_shape, matrix_shape, quarter, refuse_others, register_filler, write


def _drawn(param, m, n, rng):
    """gain times a random orthogonal matrix (m, n), or the ReLU form of one for its quarter."""
    refuse_others(param, but=["gain", "relu"])
    if param.relu:
        return param.gain * relu_form(orthonormal(*quarter(m, n), rng))
    return param.gain * orthonormal(m, n, rng)


@register_filler("orthogonal")
def orthogonal(blob, param, rng):
    """gain times a Haar distributed matrix with orthonormal rows, or columns if they are fewer.

    All singular values are `gain`, whatever the shape; so an InnerProduct's `transpose`, of which
    the filler can't know, makes no difference. relu: the form [[H, -H], [-H, H]] of
    structured.orthogonal.relu_form, which says in what sense that is orthogonal.
    Source: Saxe et al., ICLR 2014.
    """
    write(blob, _drawn(param, *matrix_shape(blob), rng))


@register_filler("delta_orthogonal")
def delta_orthogonal(blob, param, rng):
    """The matrix of `orthogonal` at the kernels' centre, floor(k/2) on each axis; zeros around it.

    Each of a Convolution's groups would need a matrix of its own, and the filler can't know of
    groups: it is orthogonal for group: 1.
    Source: Xiao et al., ICML 2018.
    """
    shape, size = kernel_shape(blob)
    write(blob, delta_kernel(_drawn(param, *shape, rng), size))
