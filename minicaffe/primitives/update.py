"""Parameter updates in one pass: pieces that stay in cache go through all steps of the rule."""

import numpy as np

from .parallel import for_each

_PIECE = 1 << 15             # numbers; a rule touches three to five arrays of this size at once


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
