"""Layers that move numbers to other places: part of an image, copies, axes in another order."""

from .base import Layer, register_layer


@register_layer("Crop")
class Crop(Layer):
    """The part of one blob that has another's size, in all axes from `axis` on.

    bottom[0]  x  (d_0, ..., d_n)      bottom[1]  r  its sizes from `axis` on count, not its data
    top[0]     y  (d_0, ..., d_axis-1, r_axis, ..., r_n)
    offset     where the part begins: none (0), one for all these axes, or one an axis
    forward:   y[..., j, ...] = x[..., offset + j, ...]
    backward:  dx = dy there, 0 elsewhere; dr = 0
    Source: crop_layer.cpp.
    """

    message = "crop_param"
    num_bottom = 2

    def reshape(self, bottom, top):
        x, r = bottom
        axis, offsets = x.canonical_axis(self.param.axis), list(self.param.offset)
        cut = x.num_axes - axis
        if x.num_axes != r.num_axes:
            raise self.error(f"bottoms of shapes {x.shape} and {r.shape} differ in number of axes")
        if len(offsets) not in (0, 1, cut):
            raise self.error(f"offset is given {len(offsets)} times: give it once, or once for "
                             f"each of the {cut} axes from axis {axis} on")
        offsets = offsets if len(offsets) == cut else (offsets or [0]) * cut
        for i, (o, size) in enumerate(zip(offsets, r.shape[axis:]), axis):
            if o + size > x.shape[i]:
                raise self.error(f"axis {i}: offset {o} and size {size} of bottom 1 reach beyond "
                                 f"size {x.shape[i]} of bottom 0")
        self.part = (slice(None),) * axis + tuple(
            slice(o, o + size) for o, size in zip(offsets, r.shape[axis:]))
        top[0].reshape(x.shape[:axis] + r.shape[axis:])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data[self.part]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff.fill(0)
            bottom[0].diff[self.part] = top[0].diff
        if propagate_down[1]:
            bottom[1].diff.fill(0)


@register_layer("Tile")
class Tile(Layer):
    """Copies of the bottom, one after another along an axis.

    bottom[0]  x  (..., c, ...)        top[0]  y  (..., tiles * c, ...)
    forward:   y = [x, x, ...]         backward:  dx = the sum of dy's parts
    Source: tile_layer.cpp.
    """

    message = "tile_param"

    def reshape(self, bottom, top):
        x, tiles = bottom[0], self.param.tiles
        axis = x.canonical_axis(self.param.axis)
        if tiles < 1:
            raise self.error(f"tiles {tiles} must be positive")
        self.sizes = x.count(0, axis), tiles, x.count(axis)
        top[0].reshape(x.shape[:axis] + (tiles * x.shape[axis],) + x.shape[axis + 1:])

    def forward(self, bottom, top):
        outer, _, inner = self.sizes
        top[0].data.reshape(self.sizes)[...] = bottom[0].data.reshape(outer, 1, inner)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            outer, _, inner = self.sizes
            top[0].diff.reshape(self.sizes).sum(axis=1, out=bottom[0].diff.reshape(outer, inner))


@register_layer("Permute")
class Permute(Layer):
    """Axes in another order.

    bottom[0]  x  (d_0, d_1, ...)      top[0]  y  (d_order[0], d_order[1], ...)
    order      which axis of x each axis of y is; axes that are not named follow in their order
    forward:   y[i_order[0], i_order[1], ...] = x[i_0, i_1, ...]
    backward:  dx = dy with the axes put back
    Source: an extension of ours; its field is that of SSD's Caffe (Liu et al., ECCV 2016).
    """

    message = "permute_param"

    def reshape(self, bottom, top):
        shape, order = bottom[0].shape, list(self.param.order)
        if bottom[0] is top[0]:
            raise self.error("can't be computed in place: the top needs a name of its own")
        if len(set(order)) != len(order) or any(axis >= len(shape) for axis in order):
            raise self.error(f"order {order} must name different axes of a bottom of shape {shape}")
        self.order = tuple(order + [axis for axis in range(len(shape)) if axis not in order])
        self.back = tuple(self.order.index(axis) for axis in range(len(shape)))
        top[0].reshape(tuple(shape[axis] for axis in self.order))

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data.transpose(self.order)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff.transpose(self.back)


@register_layer("SpaceToDepth")
class SpaceToDepth(Layer):
    """Blocks of b x b places become channels, or with `inverse` channels become blocks.

    b = block_size; n stands for any leading axes:
    bottom[0]  x  (n, C, H, W)         top[0]  y  (n, C b^2, H/b, W/b)
    forward:   y[n, (c b + i) b + j, h, w] = x[n, c, h b + i, w b + j]:  the b^2 places of one
               channel are neighbours, in row order
    inverse:   x (n, C b^2, H, W) to y (n, C, H b, W b), the inverse of the above
    backward:  dx = dy moved back
    Source: an extension of ours; the order is sub-pixel convolution's (Shi et al., CVPR 2016).
    """

    message = "space_to_depth_param"

    def reshape(self, bottom, top):
        b, shape = self.param.block_size, bottom[0].shape
        if b < 1:
            raise self.error(f"block_size {b} must be positive")
        if len(shape) < 3:
            raise self.error(f"the bottom must be ... x C x H x W, not {shape}")
        C, H, W = shape[-3:]
        if self.param.inverse:
            if C % (b * b):
                raise self.error(f"{C} channels are not a multiple of block_size squared, {b * b}")
            fine = (C // (b * b), H * b, W * b)
            top[0].reshape(shape[:-3] + fine)
        else:
            if H % b or W % b:
                raise self.error(f"an image of {H} x {W} is not made of blocks of block_size {b}")
            fine = (C, H, W)
            top[0].reshape(shape[:-3] + (C * b * b, H // b, W // b))
        C, H, W = fine
        self.fine = (-1, C, H // b, b, W // b, b)          # n, c, h, i, w, j
        self.coarse = (-1, C, b, b, H // b, W // b)        # n, c, i, j, h, w

    def _move(self, source, target, inverse):
        if inverse:
            coarse = source.reshape(self.coarse)
            target.reshape(self.fine)[...] = coarse.transpose(0, 1, 4, 2, 5, 3)
        else:
            fine = source.reshape(self.fine)
            target.reshape(self.coarse)[...] = fine.transpose(0, 1, 3, 5, 2, 4)

    def forward(self, bottom, top):
        self._move(bottom[0].data, top[0].data, self.param.inverse)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self._move(top[0].diff, bottom[0].diff, not self.param.inverse)
