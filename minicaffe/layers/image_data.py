"""ImageData: batches of picture files; and WindowData, which is not there."""

import numpy as np

from ..datasets import Order, Transformer
from ..datasets.image_list import ImageList
from ..errors import BackendError, DataError
from ..proto.caffe_pb2 import TRAIN
from .base import Layer, register_layer
from .data import PrefetchingLayer

DEPTH = 4           # batches made ahead
MOVED = ("scale", "mean_file", "crop_size", "mirror")     # to transform_param, long ago


@register_layer("ImageData")
class ImageData(PrefetchingLayer):
    """Picture files that a text file lists, with their labels, through transform_param.

    top[0]  data   batch_size x C x H x W   (C = 3: blue, green, red; 1 with is_color: false)
    top[1]  label  (batch_size,)            may be left out
    source holds `path label` a line; root_folder goes in front of each path. Pictures are resized
    to new_height x new_width if given; if not, they must be of one size, or crop_size makes them.
    Batches follow each other in file order and wrap around, or with `shuffle` in a new order every
    epoch. rand_skip leaves out a random number of pictures, below it, at the start.
    Source: image_data_layer.cpp.
    """

    message = "image_data_param"
    num_top = (1, 2)

    def setup(self, bottom, top):
        p = self.param
        if p.batch_size < 1:
            raise self.error("batch_size 0 must be at least 1")
        if bool(p.new_height) != bool(p.new_width):
            raise self.error(f"give new_height {p.new_height} and new_width {p.new_width} both, or "
                             "neither")
        for field in MOVED:
            if p.HasField(field):
                raise self.error(f"{field} belongs into transform_param")
        seed = self.draw_seed()
        skip = int(self.rng.integers(p.rand_skip)) if p.rand_skip else 0
        try:
            size = (p.new_height, p.new_width) if p.new_height else None
            pictures = ImageList(p.source, p.root_folder, not p.is_color, size)
            transform = _Transforms(self.layer_param.transform_param, self.phase == TRAIN)
            shape = transform.of(pictures.shape).output_shape
        except (BackendError, DataError) as error:
            raise self.place_error(error) from error
        order = Order(len(pictures), p.batch_size, p.shuffle, seed, skip)
        shapes = [(p.batch_size, *shape), (p.batch_size,)][:len(top)]
        self.start(pictures, _filler(pictures, order, transform, seed), shapes, DEPTH)


class _Transforms:
    """A Transformer for each size of picture."""

    def __init__(self, param, train):
        self.param, self.train, self.by_shape = param, train, {}

    def of(self, shape):
        if shape not in self.by_shape:
            self.by_shape[shape] = Transformer(self.param, shape, self.train)
        return self.by_shape[shape]


def _filler(pictures, order, transforms, seed):
    """The function that writes batch k; without a reference to the layer, see Prefetcher."""
    def fill(k, arrays):
        indices = order.indices(k)
        images, labels = pictures.read(indices)
        rng = np.random.default_rng([seed, k, 1])       # apart from the permutation of epoch k
        for index, image, out in zip(indices, images, arrays[0]):
            transform = transforms.of(image.shape)
            if transform.output_shape != out.shape:
                raise DataError(f"{pictures.source}: {pictures.names[index]} gives an image of "
                                f"{transform.output_shape}, others give {out.shape}: give "
                                "new_height and new_width, or crop_size")
            transform(image[None], rng, out[None])
        if len(arrays) > 1:
            arrays[1][...] = labels
    return fill


@register_layer("WindowData")
class WindowData(Layer):
    """Not supported: windows of pictures for R-CNN (window_data_layer.cpp)."""

    message = "window_data_param"
    num_bottom, num_top = 0, (1, 2)

    def setup(self, bottom, top):
        raise self.error("WindowData is not supported: cut the windows out beforehand and read "
                         "them with ImageData or Data")
