"""transform_param for whole batches: size, mean and scale (data_transformer.cpp)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import DataError, FileError
from ..proto import weights
from .base import resolve
from .pictures import scaling


class Transformer:
    """Turns a batch of stored images into the values a net sees.

        out = scale * (mirror(crop(pad(resize(images))) - mean))

    resize: to squares of that side, as `pictures.scaling` does. crop_size: a square, at a
    random place for each image if `train`, else in the middle. mirror: left and right change places
    in half of the images, drawn anew each time, in both phases. mean: mean_file's picture (of the
    stored size; resized, and taken at the crop's place) or mean_value, one or one a channel. pad: a
    border that is zero in `out` also where a mean is taken off; in other words it is filled with
    the mean.

    shape: (C, H, W) of the stored images; place: begins error messages. output_shape: of `out`.
    """

    def __init__(self, param, shape, train, place="transform_param"):
        self.place = place
        self.train = train
        self.shape = tuple(shape)
        self.pad, self.mirror, self.scale = param.pad, param.mirror, param.scale
        C, height, width = shape
        self.scalings = None                    # of rows and columns
        if param.resize:
            self.scalings = scaling(height, param.resize), scaling(width, param.resize)
            height = width = param.resize
        H, W = height + 2 * param.pad, width + 2 * param.pad
        self.padded_shape = C, H, W
        self.crop = param.crop_size
        if self.crop > min(H, W):
            padded = f" with pad {self.pad}" if self.pad else ""
            raise DataError(f"{place}: crop_size {self.crop} is larger than the image, "
                            f"{height} x {width}{padded}")
        self.output_shape = (C, self.crop, self.crop) if self.crop else (C, H, W)
        self.mean = self._mean(param)           # None, (C, 1, 1) or padded_shape

    def __call__(self, images, rng, out):
        """Write the batch `images` (n, C, H, W), uint8 or float, into `out` (n, *output_shape).

        From `rng` are drawn, if asked for: the crops' rows, their columns, then the mirrored.
        """
        n, mean, scale = len(images), self.mean, out.dtype.type(self.scale)
        if self.scalings:
            images = self._resized(images)
        if self.pad:
            images = self._padded(images)
        if self.crop:
            images, mean = self._cropped(images, mean, rng)
        if mean is not None:
            np.subtract(images, mean, out=out, dtype=out.dtype)
        elif self.scale != 1:
            np.multiply(images, scale, out=out, dtype=out.dtype)
        else:
            np.copyto(out, images)
        if self.mirror:
            flipped = np.flatnonzero(rng.integers(2, size=n))
            out[flipped] = out[flipped, :, :, ::-1]
        if mean is not None and self.scale != 1:
            out *= scale
        return out

    def _resized(self, images):
        rows, columns = self.scalings
        return rows @ (images.astype(np.float32) @ columns.T)

    def _padded(self, images):
        """Images with a border of zeros, (n, *padded_shape)."""
        p, result = self.pad, np.zeros((len(images), *self.padded_shape), images.dtype)
        result[:, :, p:-p, p:-p] = images
        return result

    def _cropped(self, images, mean, rng):
        """The crops (n, C, crop, crop) and the mean at the same places: (C, ...) or (n, C, ...)."""
        free_y, free_x = images.shape[2] - self.crop, images.shape[3] - self.crop
        is_picture = mean is not None and mean.shape == self.padded_shape
        if not self.train:
            here = (..., slice(free_y // 2, free_y // 2 + self.crop),
                    slice(free_x // 2, free_x // 2 + self.crop))
            return images[here], mean[here] if is_picture else mean
        y = rng.integers(free_y + 1, size=len(images))
        x = rng.integers(free_x + 1, size=len(images))
        window = (self.crop, self.crop)
        crops = sliding_window_view(images, window, (2, 3))[np.arange(len(images)), :, y, x]
        if is_picture:
            mean = sliding_window_view(mean, window, (1, 2))[:, y, x].swapaxes(0, 1)
        return crops, mean

    def _mean(self, param):
        """What is taken off: None, (C, 1, 1), or a picture of padded_shape, 0 in the border."""
        if param.mean_file and param.mean_value:
            raise DataError(f"{self.place}: give mean_file or mean_value, not both")
        if not (param.mean_file or param.mean_value):
            return None
        C, p = self.shape[0], self.pad
        if param.mean_file:
            mean = self._read_mean(param.mean_file)
            mean = self._resized(mean) if self.scalings else mean
        else:
            if len(param.mean_value) not in (1, C):
                raise DataError(f"{self.place}: {len(param.mean_value)} values of mean_value do "
                                f"not fit {C} channels: give one, or one a channel")
            mean = np.empty((C, 1, 1), np.float32)
            mean[:, 0, 0] = param.mean_value
        if not p:
            return mean
        picture = np.zeros(self.padded_shape, np.float32)
        picture[:, p:-p, p:-p] = mean
        return picture

    def _read_mean(self, mean_file):
        """The picture in a .binaryproto, of the images' own shape."""
        try:
            path = resolve(mean_file)
            mean = np.asarray(weights.read_blob(path), np.float32)
        except FileError as error:
            raise DataError(f"{self.place}: mean_file: {error}") from error
        shape = mean.shape[mean.ndim - 3:]
        if shape != self.shape or mean.size != np.prod(shape):
            raise DataError(f"{self.place}: mean_file {path} is {mean.shape}, "
                            f"the images are {self.shape}")
        return mean.reshape(shape)
