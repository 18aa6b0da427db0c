"""Convolution as matrix products: images to columns of windows and back.

A chunk of m images is held with the image index last: (C, *size, m). A window's row is then
out_width * m contiguous numbers, so that the copies run at memory speed, and one product serves
all m images. Any number of spatial axes.
"""

import itertools
import math

import numpy as np


def padded_shape(channels, size, pad, m):
    """Shape of a chunk of m images with its zero border: (C, *(size + 2 pad), m)."""
    return (channels, *(s + 2 * p for s, p in zip(size, pad)), m)


def load(padded, images, pad, cyclic=False):
    """Write images (m, C, *size) into a chunk (C, *(size + 2 pad), m).

    The border is zero or, if `cyclic`, what lies on the image's other side (pad <= size).
    """
    if any(pad) and not cyclic:
        padded.fill(0)
    interior(padded, pad)[...] = _image_last(images)
    if cyclic:
        for border, origin in _wrapped(padded, pad):
            padded[border] = padded[origin]


def unwrap(padded, pad):
    """Add a chunk's border to the interior it was copied from: the adjoint of load's wrapping."""
    for border, origin in _wrapped(padded, pad):
        padded[origin] += padded[border]


def _wrapped(padded, pad):
    """(border, origin) of each side; later axes copy the borders of earlier ones: the corners."""
    for axis, p in enumerate(pad, 1):
        if p:
            before, end = (slice(None),) * axis, padded.shape[axis] - p     # end: of the interior
            yield before + (slice(0, p),), before + (slice(end - p, end),)
            yield before + (slice(end, None),), before + (slice(p, 2 * p),)


def store(images, padded, pad):
    """Write a chunk's interior to images (m, C, *size): the inverse of load."""
    _image_last(images)[...] = interior(padded, pad)


def interior(padded, pad):
    """The view of a chunk without its border."""
    return padded[(slice(None), *(slice(p, -p if p else None) for p in pad))]


def _image_last(images):
    return images.transpose(*range(1, images.ndim), 0)


def windows(padded, kernel, stride, dilation, output):
    """All windows of a chunk as a read-only view: (C, *kernel, *output, m)."""
    channels, *steps, image = padded.strides
    strides = (channels, *(d * s for d, s in zip(dilation, steps)),
               *(t * s for t, s in zip(stride, steps)), image)
    shape = (padded.shape[0], *kernel, *output, padded.shape[-1])
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def add_windows(padded, columns, kernel, stride, dilation, output):
    """padded += columns (C, *kernel, *output, m), each window where it came from (col2im)."""
    for offset in itertools.product(*map(range, kernel)):
        place = tuple(slice(o * d, o * d + (n - 1) * t + 1, t)
                      for o, d, n, t in zip(offset, dilation, output, stride))
        padded[(slice(None), *place)] += columns[(slice(None), *offset)]


class Workspace:
    """Scratch arrays by name, made on first use and kept; a thread has its own."""

    def __init__(self, dtype):
        self.dtype, self._arrays = dtype, {}

    def get(self, name, shape):
        """An uninitialised array of that shape; the same memory at each call with this name."""
        size = math.prod(shape)
        flat = self._arrays.get(name)
        if flat is None or flat.size < size:
            flat = self._arrays[name] = np.empty(size, self.dtype)
        return flat[:size].reshape(shape)
