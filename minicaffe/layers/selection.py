"""Layers that choose by number: the largest entries, samples of a batch, rows of a table."""

from ..primitives.gather import IndexReader, add_rows, take_rows
from .base import Layer, register_layer


@register_layer("ArgMax")
class ArgMax(Layer):
    """Where the K = top_k largest entries are, or what they are; equal ones: the later one first.

    With `axis`, along that axis of bottom[0] x (..., C, ...):
    top[0]     (..., K, ...)  indices along the axis; the values instead if out_max_val
    Without, over everything but the first axis of x (N, ...), flattened:
    top[0]     (N, 1, K)  indices; (N, 2, K) with out_max_val: indices, then values. It gets as
               many axes of size 1 more as x has beyond 3.
    No gradient. Source: argmax_layer.cpp.
    """

    message = "argmax_param"

    def reshape(self, bottom, top):
        x, p = bottom[0], self.param
        if p.HasField("axis"):
            self.axis = x.canonical_axis(p.axis)
            size = x.shape[self.axis]
            shape = x.shape[:self.axis] + (p.top_k,) + x.shape[self.axis + 1:]
        else:
            if not x.shape:
                raise self.error("the bottom has no axes: ArgMax keeps the first of them")
            size = x.count(1)
            shape = (x.shape[0], 2 if p.out_max_val else 1, p.top_k) + (1,) * (x.num_axes - 3)
        if not 1 <= p.top_k <= size:
            raise self.error(f"top_k {p.top_k} must be from 1 to the number of entries, {size}")
        top[0].reshape(shape)

    def forward(self, bottom, top):
        xp, p, x = self.xp, self.param, bottom[0].data
        if not p.HasField("axis"):
            x = x.reshape(len(x), -1)
            order = self._largest(x)
            y = top[0].data.reshape(len(x), -1, p.top_k)
            y[:, 0] = order
            if p.out_max_val:
                y[:, 1] = xp.take_along_axis(x, order, axis=-1)
            return
        x, y = xp.moveaxis(x, self.axis, -1), xp.moveaxis(top[0].data, self.axis, -1)
        order = self._largest(x)
        y[...] = xp.take_along_axis(x, order, axis=-1) if p.out_max_val else order

    def _largest(self, x):
        """Indices of the top_k largest along the last axis, in falling order."""
        last, reverse = x.shape[-1] - 1, x[..., ::-1]        # the first of equals here is the later
        if self.param.top_k == 1:
            return last - reverse.argmax(axis=-1)[..., None]
        return last - self.xp.argsort(-reverse, axis=-1, kind="stable")[..., :self.param.top_k]


@register_layer("BatchReindex")
class BatchReindex(Layer):
    """Samples of a batch in another order, some more than once, some not at all.

    bottom[0]  x  (N, ...)      bottom[1]  i  (M,) whole numbers in 0 .. N-1
    top[0]     y  (M, ...)
    forward:   y[m] = x[i[m]]   backward:  dx[n] = sum of dy[m] over all m with i[m] = n
    The indices get no gradient. Source: batch_reindex_layer.cpp.
    """

    num_bottom = 2

    def setup(self, bottom, top):
        self.reader = IndexReader(self.xp, "index {} at {}", self.error)
        self.device_checks.append(self.reader.check)

    def reshape(self, bottom, top):
        x, indices = bottom
        if not x.shape or indices.num_axes != 1:
            raise self.error(f"needs samples and one axis of indices, not bottoms of shapes "
                             f"{x.shape} and {indices.shape}")
        self.reader.expect(indices.shape, x.shape[0])
        top[0].reshape(indices.shape + x.shape[1:])

    def forward(self, bottom, top):
        self.indices, _ = self.reader.read(bottom[1].data)
        take_rows(self.xp, bottom[0].data, self.indices, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise self.error("indices (bottom 1) have no gradient")
        if propagate_down[0]:
            bottom[0].diff.fill(0)
            add_rows(self.xp, bottom[0].diff, self.indices, top[0].diff)

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0


@register_layer("Filter")
class Filter(Layer):
    """Those samples of each bottom whose entry in the last bottom, the selector, is not 0.

    bottom[k]  x_k  (N, ...), k < K      bottom[K]  s  (N,) (further axes must have size 1)
    top[k]     y_k  (M, ...)  M = the number of entries of s that are not 0 (N until the first
               forward pass)
    forward:   y_k = x_k[s != 0]         backward:  dx_k[s != 0] = dy_k, 0 elsewhere
    The selector gets no gradient. Source: filter_layer.cpp.
    """

    num_bottom, num_top = (2, None), (1, None)
    reshape_always = True                # the number of samples depends on the selector's data
    needs_host = True

    def setup(self, bottom, top):
        if len(top) != len(bottom) - 1:
            raise self.error(f"{len(bottom)} bottoms (the last is the selector) need "
                             f"{len(bottom) - 1} tops, not {len(top)}")
        self.selected = None

    def reshape(self, bottom, top):
        selector = bottom[-1]
        if not selector.shape or selector.count(1) != 1:
            raise self.error(f"the selector (bottom {len(top)}) must have one number a sample, its "
                             f"shape is {selector.shape}")
        for i, b in enumerate(bottom[:-1]):
            if b.shape[:1] != selector.shape[:1]:
                raise self.error(f"bottom {i} of shape {b.shape} does not have the selector's "
                                 f"{selector.shape[0]} samples")
        if self.selected is None:                           # nothing has been computed yet
            self.selected = self.xp.arange(selector.shape[0])
            self._shape_tops(bottom, top)
        else:
            self._select(bottom, top)

    def _select(self, bottom, top):
        self.selected = self.xp.flatnonzero(bottom[-1].data)     # waits for the GPU: shapes need it
        self._shape_tops(bottom, top)

    def _shape_tops(self, bottom, top):
        for b, t in zip(bottom, top):
            t.reshape((len(self.selected),) + b.shape[1:])

    def forward(self, bottom, top):
        self._select(bottom, top)
        for b, t in zip(bottom, top):
            take_rows(self.xp, b.data, self.selected, out=t.data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[-1]:
            raise self.error(f"the selector (bottom {len(top)}) has no gradient")
        for b, t, wanted in zip(bottom, top, propagate_down):
            if wanted:
                b.diff.fill(0)
                b.diff[self.selected] = t.diff

    def allow_force_backward(self, bottom_index):
        return bottom_index < len(self.layer_param.bottom) - 1


@register_layer("Embed")
class Embed(Layer):
    """A learnt vector for each index: InnerProduct of one-hot vectors, without making them.

    K = input_dim, N = num_output:
    bottom[0]  i  any shape, whole numbers in 0 .. K-1     blobs[0]  w  (K, N)
    top[0]     y  (shape of i, N)                          blobs[1]  c  (N,)  if bias_term
    forward:   y[m] = w[i[m]] + c
    backward:  dw[k] += sum of dy[m] over all m with i[m] = k,  dc += sum_m dy[m]
    Indices get no gradient. Source: embed_layer.cpp.
    """

    message = "embed_param"

    def setup(self, bottom, top):
        p = self.param
        for field in "num_output", "input_dim":
            if getattr(p, field) < 1:
                raise self.error(f"{field} {getattr(p, field)} must be positive")
        self.add_blob((p.input_dim, p.num_output), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)
        self.reader = IndexReader(self.xp, "index {} at {}", self.error)
        self.device_checks.append(self.reader.check)

    def reshape(self, bottom, top):
        self.reader.expect(bottom[0].shape, self.param.input_dim)
        top[0].reshape(bottom[0].shape + (self.param.num_output,))

    def forward(self, bottom, top):
        w, y = self.blobs[0].data, top[0].data.reshape(-1, self.param.num_output)
        self.indices = self.reader.read(bottom[0].data)[0].reshape(-1)
        take_rows(self.xp, w, self.indices, out=y)
        if self.param.bias_term:
            y += self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            raise self.error("indices (bottom 0) have no gradient")
        dy = top[0].diff.reshape(-1, self.param.num_output)
        if self.param_propagate_down[0]:
            add_rows(self.xp, self.blobs[0].diff, self.indices, dy)
        if self.param.bias_term and self.param_propagate_down[1]:
            self.blobs[1].diff += dy.sum(axis=0)

    def allow_force_backward(self, bottom_index):
        return False
