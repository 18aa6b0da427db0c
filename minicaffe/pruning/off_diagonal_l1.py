"""OFF_DIAGONAL: all but the diagonal blocks of a weight matrix goes."""

import numpy as np

from ..backend import to_device, to_numpy
from ..errors import Error
from ..structured.block_diagonal import Layout, diagonal_mask, from_dense
from .base import Structured, register_method


@register_method("OFF_DIAGONAL")
class OffDiagonal(Structured):
    """Pushes a dense weight matrix (N, K) to b = num_blocks diagonal blocks of (N/b, K/b).

    Or to blocks (N_i, K_i) of the sizes block_output_dim and block_input_dim.
    penalize:  dw += passes alpha sign(w) off the diagonal blocks: the gradient of Eq. 1,
               alpha * sum over ij of 1_ij |w_ij|, 1_ij being 1 off the blocks, 0 in them
    prune:     off the blocks, for good, as schedule says:
               LINEAR, CUBIC, AT_END    the share of smallest |w| that base.share says
               CROSSING    what the update has taken through zero, or to it
               SOFT        in place of the gradient, after the update: w = sign(w) max(|w| - s, 0),
                           s = rate * alpha (the proximal step), and what has become zero
               and at progress 1 all that is left there
    Source: Nesky and Stout, Neural Comput. Appl. 32 (2020), Section 3, second method (IP-BDIP).
    """

    fields = frozenset({"num_blocks", "block_input_dim", "block_output_dim", "weight_power",
                        "lr_power", "alpha"})
    schedules = (*Structured.schedules, "CROSSING", "SOFT")

    def check(self):
        shape = self.weights.shape[::-1] if self.transposed else self.weights.shape
        self.layout = self._layout(shape)
        free = ~diagonal_mask(self.layout)
        self.free = to_device(np.ascontiguousarray(free.T if self.transposed else free))
        self.going = self.units - self.layout.weights
        self.signs = self.xp.empty(self.weights.shape, self.weights.dtype)

    def _layout(self, shape):
        p = self.param
        if not (p.block_input_dim or p.block_output_dim):
            return Layout.equal(p.num_blocks, *shape)
        if p.HasField("num_blocks"):
            raise Error("num_blocks is for equal blocks, block_input_dim and block_output_dim for "
                        "others: give one of them")
        layout = Layout(p.block_output_dim, p.block_input_dim)
        if layout.shape != shape:
            raise Error(f"block_output_dim and block_input_dim add up to {layout.shape}, the "
                        f"weights are {shape}")
        return layout

    @property
    def blocks(self):
        """The fields of a block_inner_product_param that say what the blocks are."""
        if self.param.num_blocks:
            return {"num_blocks": self.param.num_blocks}
        return {"block_input_dim": self.layout.inputs, "block_output_dim": self.layout.outputs}

    def penalize(self, passes=1):
        p = self.param
        if p.schedule != p.SOFT:
            super().penalize(passes)
        if p.schedule == p.CROSSING:
            self.xp.sign(self.weights.data, out=self.signs)

    def prune(self, progress, rate):
        p = self.param
        if progress >= 1:
            super().prune(progress, rate)
        elif p.schedule == p.CROSSING:
            self._close(self.xp.sign(self.weights.data) != self.signs)
        elif p.schedule == p.SOFT:
            w, step = self.weights.data, rate * p.alpha
            w -= self.xp.clip(w, -step, step) * self.free
            self._close(w == 0)
        else:
            super().prune(progress, rate)

    def _close(self, gone):
        gone &= self.free
        mask = self.weights.mask
        mask &= ~gone
        self.xp.copyto(self.weights.data, 0, where=~mask)  # + 0, as in weights that are read

    def rescale(self, variance):
        """Multiply each block by (K / K_i)^weight_power; of equal ones by b^weight_power.

        Where weight_power isn't given: by the deviation of what the layer's filler would draw for
        the block over that for the whole matrix, so that the kept weights get the variance that
        the block would begin with. variance: shape -> that of the filler, None where it isn't
        known (fillers.base.variance), and then by 1.
        """
        w, K = self.weights.data, self.layout.shape[1]
        for block in self.layout.diagonal(w.T if self.transposed else w):
            if self.param.HasField("weight_power"):
                block *= (K / block.shape[1]) ** self.param.weight_power
            elif (whole := variance(w.shape)) is not None:
                block *= (variance(block.shape) / whole) ** 0.5

    def condense(self, array):
        """The diagonal blocks of an array of the weights' shape, as NumPy array.

        As a BlockInnerProduct stores them: (b, N/b, K/b), flat where the sizes are given.
        """
        dense = to_numpy(array).reshape(self.weights.shape)
        blocks = from_dense(dense.T if self.transposed else dense, self.layout)
        b = self.param.num_blocks
        return blocks.reshape(b, *self.layout.groups[0][1:3]) if b else blocks
