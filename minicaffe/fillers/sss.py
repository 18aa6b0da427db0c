"""SSS weights (structured/sss.py): of a matrix that was drawn as a whole, or matrix by matrix."""

import math

from ..errors import Error
from ..structured import sss
from .base import refuse_others, register_filler


@register_filler("sss_xavier")
def sss_xavier(blob, param, rng):
    """For all blobs of an SSSInnerProduct together, see draw; of no other layer."""
    raise Error("is for the weights of an SSSInnerProduct layer")


def draw(sizes, param, rng):
    """{name: flat array}, the SSS matrix of `sizes` nearest to a Glorot-uniform one.

    That is uniform on [-r, r), r = sqrt(6 / (N + K)) times the filler's gain, then reduced by
    structured.sss.from_dense: how Kissel and Diepold begin to train from scratch.
    """
    refuse_others(param, but=["gain"])
    limit = param.gain * math.sqrt(6 / sum(sizes.shape))
    W = rng.uniform(-limit, limit, sizes.shape)
    return sss.from_dense(W, sizes.stages, sizes.state_dim).system.pack()
