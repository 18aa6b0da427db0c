"""Layers that compute nothing: other shapes of the same numbers, copies, parts and joins."""

from ..primitives.elementwise import map_pieces
from .base import Layer, register_layer


class View(Layer):
    """A top that is the bottom's own memory, data and diff, under another shape.

    Nothing is left to do in backward, and in forward only to share anew, should the bottom have
    got other memory.
    """

    def setup(self, bottom, top):
        if bottom[0] is top[0]:
            raise self.error("can't be computed in place: the top needs a name of its own")

    def reshape(self, bottom, top):
        top[0].reshape(self.top_shape(bottom[0]))

    def forward(self, bottom, top):
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def backward(self, top, propagate_down, bottom):
        pass


@register_layer("Flatten")
class Flatten(View):
    """Join the axes `axis` .. `end_axis` into one.

    bottom[0]  x  (d_0, ..., d_n)
    top[0]     y = x in the shape (d_0, ..., d_axis * ... * d_end_axis, ..., d_n)
    backward:  dx = dy. Both passes are free: the top shares the bottom's memory.
    Source: flatten_layer.cpp.
    """

    message = "flatten_param"

    def top_shape(self, x):
        start, end = x.canonical_axis(self.param.axis), x.canonical_axis(self.param.end_axis)
        if start > end:
            raise self.error(f"axis {self.param.axis} comes after end_axis {self.param.end_axis} "
                             f"in a bottom of shape {x.shape}")
        return x.shape[:start] + (x.count(start, end + 1),) + x.shape[end + 1:]


@register_layer("Reshape")
class Reshape(View):
    """Replace the num_axes axes from `axis` on by the sizes of `shape`.

    In `shape`, 0 is the size of the same axis of the bottom, and one -1 is whatever remains.
    `axis` -1 means after the last axis; num_axes -1 means all the rest.
    bottom[0]  x  any shape        top[0]  y = x in the new shape
    backward:  dx = dy. Both passes are free: the top shares the bottom's memory.
    Source: reshape_layer.cpp.
    """

    message = "reshape_param"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        dims = list(self.param.shape.dim)
        if dims.count(-1) > 1 or min(dims, default=0) < -1:
            raise self.error(f"shape {dims} may hold one -1 and no other negative size")

    def top_shape(self, x):
        dims, (start, end) = list(self.param.shape.dim), self._replaced_axes(x)
        for i, d in enumerate(dims):
            if d == 0 and start + i >= x.num_axes:
                raise self.error(f"shape {dims} has a 0 for axis {start + i}, which a bottom of "
                                 f"shape {x.shape} does not have")
        dims = [x.shape[start + i] if d == 0 else d for i, d in enumerate(dims)]
        shape = [*x.shape[:start], *dims, *x.shape[end:]]
        known = 1
        for d in shape:
            known *= d if d != -1 else 1
        if -1 in shape:
            if known == 0 or x.size % known:
                raise self.error(f"a bottom of shape {x.shape} ({x.size} numbers) can't become "
                                 f"{shape}: its size is not a multiple of {known}")
            shape[shape.index(-1)] = x.size // known
        elif known != x.size:
            raise self.error(f"a bottom of shape {x.shape} ({x.size} numbers) can't become {shape} "
                             f"({known} numbers)")
        return tuple(shape)

    def _replaced_axes(self, x):
        axis, number, n = self.param.axis, self.param.num_axes, x.num_axes
        start = axis if axis >= 0 else n + axis + 1
        if not 0 <= start <= n:
            raise self.error(f"axis {axis} is not one of a bottom of shape {x.shape}")
        end = n if number == -1 else start + number
        if number < -1 or end > n:
            raise self.error(f"num_axes {number} from axis {axis} on does not fit a bottom of "
                             f"shape {x.shape}")
        return start, end


@register_layer("Split")
class Split(Layer):
    """The same values for several readers; the Net inserts it where a blob is read more than once.

    bottom[0]  x  any shape        top[i]  y_i  the same; their data is the bottom's own memory
    forward:   y_i = x             backward:  dx = sum_i dy_i
    Source: split_layer.cpp.
    """

    num_top = (1, None)

    def setup(self, bottom, top):
        if any(t is bottom[0] for t in top):
            raise self.error("can't be computed in place: every top needs a name of its own")

    def reshape(self, bottom, top):
        for t in top:
            t.reshape_like(bottom[0])

    def forward(self, bottom, top):
        for t in top:
            t.share_data(bottom[0])

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        map_pieces(self.xp, self._sum, bottom[0].diff, *(t.diff for t in top))

    def _sum(self, dx, *dy):
        if len(dy) == 1:
            dx[...] = dy[0]
        else:
            self.xp.add(dy[0], dy[1], out=dx)
        for dy_i in dy[2:]:
            dx += dy_i


def choose_axis(layer, blob, older_name):
    """The axis of Concat and Slice: their `axis`, or the field of Caffe's first days."""
    p = layer.param
    if p.HasField(older_name):
        if p.HasField("axis"):
            raise layer.error(f"give axis or {older_name}, not both")
        return blob.canonical_axis(getattr(p, older_name))
    return blob.canonical_axis(p.axis)


def parts(array, axis, sizes):
    """Views of the array, cut along the axis into these sizes."""
    begin = 0
    for size in sizes:
        yield array[(slice(None),) * axis + (slice(begin, begin + size),)]
        begin += size


@register_layer("Concat")
class Concat(Layer):
    """Join the bottoms along one axis.

    bottom[i]  x_i  (..., c_i, ...)        top[0]  y  (..., sum_i c_i, ...)
    forward:   y = [x_0, x_1, ...]         backward:  dx_i = the i-th part of dy
    Source: concat_layer.cpp.
    """

    message = "concat_param"
    num_bottom = (1, None)

    def reshape(self, bottom, top):
        self.axis = axis = choose_axis(self, bottom[0], "concat_dim")
        shape = bottom[0].shape
        for i, b in enumerate(bottom):
            if b.shape[:axis] + b.shape[axis + 1:] != shape[:axis] + shape[axis + 1:]:
                raise self.error(f"bottom {i} of shape {b.shape} does not fit bottom 0 of shape "
                                 f"{shape}: only axis {axis} may differ")
        self.sizes = [b.shape[axis] for b in bottom]
        top[0].reshape(shape[:axis] + (sum(self.sizes),) + shape[axis + 1:])

    def forward(self, bottom, top):
        for b, part in zip(bottom, parts(top[0].data, self.axis, self.sizes)):
            part[...] = b.data

    def backward(self, top, propagate_down, bottom):
        dy = parts(top[0].diff, self.axis, self.sizes)
        for b, part, wanted in zip(bottom, dy, propagate_down):
            if wanted:
                b.diff[...] = part


@register_layer("Slice")
class Slice(Layer):
    """Cut the bottom along one axis, at the slice_points or into equal parts.

    bottom[0]  x  (..., sum_i c_i, ...)    top[i]  y_i  (..., c_i, ...)
    forward:   y_i = the i-th part of x    backward:  dx = [dy_0, dy_1, ...]
    Source: slice_layer.cpp.
    """

    message = "slice_param"
    num_top = (1, None)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.axis = axis = choose_axis(self, bottom[0], "slice_dim")
        self.sizes = self._sizes(shape[axis], len(top))
        for t, size in zip(top, self.sizes):
            t.reshape(shape[:axis] + (size,) + shape[axis + 1:])

    def _sizes(self, whole, number):
        points = list(self.param.slice_point)
        if not points:
            if whole % number:
                raise self.error(f"size {whole} of axis {self.axis} is not a multiple of the "
                                 f"number of tops {number}: give slice_point")
            return [whole // number] * number
        if len(points) != number - 1:
            raise self.error(f"{number} tops need {number - 1} slice_point, not {len(points)}")
        sizes = [end - begin for begin, end in zip([0] + points, points + [whole])]
        if min(sizes) < 1:
            raise self.error(f"slice_point {points} must rise, between 1 and size {whole} of axis "
                             f"{self.axis} less 1")
        return sizes

    def forward(self, bottom, top):
        for t, part in zip(top, parts(bottom[0].data, self.axis, self.sizes)):
            t.data[...] = part

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            for t, part in zip(top, parts(bottom[0].diff, self.axis, self.sizes)):
                part[...] = t.diff


@register_layer("Silence")
class Silence(Layer):
    """Take blobs that nobody reads, so that they are no outputs of the net.

    bottom[i]  any shape; no tops
    forward:   nothing        backward:  dx_i = 0
    Source: silence_layer.cpp.
    """

    num_bottom, num_top = (1, None), 0

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        for b, wanted in zip(bottom, propagate_down):
            if wanted:
                b.diff[...] = 0
