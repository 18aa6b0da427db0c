"""Images and arrays in and out of nets: pycaffe's io.

Images are float arrays H x W x K in [0, 1], RGB; a net's inputs are K x H x W. Pictures are read
with Pillow (extra `image`), arrays of any number of channels resized with scipy.ndimage.
"""

import importlib

import numpy as np
from google.protobuf.message import DecodeError

from .datasets.base import optional
from .errors import DataError, Error
from .files import reason
from .proto import caffe_pb2, weights


# ---- protobuf messages

def blobproto_to_array(blob, return_diff=False):
    """The data (or diff) of a BlobProto, as an array of its shape."""
    return weights.blob_to_array(blob, "diff" if return_diff else "data")


def array_to_blobproto(arr, diff=None):
    """A BlobProto of an array of any number of axes, and of its diff (of the same shape)."""
    return weights.array_to_blob(np.asarray(arr, np.float32), diff=diff)


def arraylist_to_blobprotovector_str(arraylist):
    """A list of arrays as the bytes of a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(
        blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(data):
    """The list of arrays in the bytes of a BlobProtoVector."""
    try:
        vector = caffe_pb2.BlobProtoVector.FromString(data)
    except DecodeError as error:
        raise DataError("the bytes are not a BlobProtoVector") from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr, label=None):
    """A Datum of an array (C, H, W): uint8 as bytes, other types as floats."""
    arr = np.asarray(arr)
    if arr.ndim != 3:
        raise DataError(f"a Datum holds an array of 3 axes (C, H, W), not of {arr.ndim}")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(np.float32).ravel())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum):
    """The array (C, H, W) in a Datum, uint8 or float32; the label is not looked at."""
    if datum.encoded:
        raise DataError("the Datum holds an encoded picture: decode datum.data first")
    shape = datum.channels, datum.height, datum.width
    values = np.frombuffer(datum.data, np.uint8) if datum.data \
        else np.array(datum.float_data, np.float32)
    if values.size != np.prod(shape):
        raise DataError(f"the Datum says {shape} and holds {values.size} values")
    return values.reshape(shape)


# ---- preprocessing

class Transformer:
    """What turns an image into a net's input, a set of steps for each input.

        out = (scale_channels(swap(transpose(resize(image)))) - mean) * input_scale

    inputs: {name: shape}, where the last two axes of a shape are H x W and the one before is K.
    The steps, in this order, each left out unless set: to the input's H x W, set_transpose,
    set_channel_swap, set_raw_scale, set_mean, set_input_scale. `deprocess` inverts them but for
    the size.
    """

    def __init__(self, inputs):
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose, self.channel_swap = {}, {}
        self.raw_scale, self.mean, self.input_scale = {}, {}, {}

    def preprocess(self, in_, data):
        """An image (H, W, K) as an array for input `in_`: float32, (K, H, W) with transpose."""
        self._check(in_)
        out = np.asarray(data).astype(np.float32, copy=False)
        size = self.inputs[in_][2:]
        if out.shape[:2] != size:
            out = resize_image(out, size)
        if in_ in self.transpose:
            out = out.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            out = out[self.channel_swap[in_], :, :]
        if in_ in self.raw_scale:
            out = out * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            out = out - self.mean[in_]
        if in_ in self.input_scale:
            out = out * np.float32(self.input_scale[in_])
        return out

    def deprocess(self, in_, data):
        """The image whose preprocessing gives `data` (K, H, W), with a batch axis of 1 or not."""
        self._check(in_)
        out = np.array(data, np.float32)
        out = out.squeeze(0) if out.ndim == 4 and len(out) == 1 else out
        if in_ in self.input_scale:
            out = out / self.input_scale[in_]
        if in_ in self.mean:
            out = out + self.mean[in_]
        if in_ in self.raw_scale:
            out = out / self.raw_scale[in_]
        if in_ in self.channel_swap:
            out = out[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out

    def set_transpose(self, in_, order):
        """The order of axes: (2, 0, 1) turns H x W x K into K x H x W."""
        self._check(in_)
        if sorted(order) != list(range(len(self.inputs[in_]) - 1)):
            raise Error(f"transpose {tuple(order)} of input '{in_}' is no order of its "
                        f"{len(self.inputs[in_]) - 1} axes")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_, order):
        """The order of channels, after transpose: (2, 1, 0) turns RGB into BGR."""
        self._check(in_)
        if sorted(order) != list(range(self.inputs[in_][1])):
            raise Error(f"channel_swap {tuple(order)} of input '{in_}' is no order of its "
                        f"{self.inputs[in_][1]} channels")
        self.channel_swap[in_] = list(order)

    def set_raw_scale(self, in_, scale):
        """The factor before the mean: 255 for nets trained on bytes."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_, mean):
        """The mean to take off: (K,), or a picture (K, H, W) or (H, W) of the input's size."""
        self._check(in_)
        mean, shape = np.asarray(mean, np.float32), self.inputs[in_]
        if mean.ndim == 1:
            if shape[1] != len(mean):
                raise Error(f"the mean of input '{in_}' has {len(mean)} channels, the input "
                            f"{shape[1]}")
            mean = mean[:, None, None]
        else:
            picture = (1, *mean.shape) if mean.ndim == 2 else mean.shape
            if len(picture) != 3 or picture[1:] != shape[2:] or picture[0] not in (1, shape[1]):
                raise Error(f"the mean of input '{in_}' has shape {mean.shape}, the input {shape}")
        self.mean[in_] = mean

    def set_input_scale(self, in_, scale):
        """The factor after the mean."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_):
        if in_ not in self.inputs:
            raise Error(f"'{in_}' is not one of the net inputs: {', '.join(self.inputs)}")


# ---- images

def load_image(filename, color=True):
    """A picture file as float32 in [0, 1]: (H, W, 3) RGB, or with color=False (H, W, 1) grey."""
    Image = optional("PIL.Image", "image", "reading pictures")
    try:
        with Image.open(filename) as picture:
            pixels = np.asarray(picture.convert("RGB" if color else "L"), np.float32) / 255
    except (OSError, ValueError, SyntaxError) as error:
        what = reason(error) if isinstance(error, OSError) else error
        raise DataError(f"{filename}: can't be read as a picture: {what}") from error
    return pixels if color else pixels[:, :, None]


def resize_image(im, new_dims, interp_order=1):
    """An image (H, W, K) at the size new_dims = (height, width), as float32.

    interp_order: of the spline between pixels, 1 is bilinear. As in pycaffe, pixels are areas if
    K is 1 or 3 (the picture's edges stay its edges), else points (the corner points stay).
    """
    ndimage = importlib.import_module("scipy.ndimage")     # slow to import, and rarely needed
    im = np.asarray(im, np.float32)
    if im.ndim != 3 or not im.size:
        raise DataError(f"an image is an array (H, W, K), not of shape {im.shape}")
    h, w = (int(n) for n in new_dims)
    if (h, w) == im.shape[:2]:
        return im.copy()
    factors = [n / old for n, old in zip((h, w), im.shape)]
    out = np.empty((h, w, im.shape[2]), np.float32)
    for k in range(im.shape[2]):
        ndimage.zoom(im[:, :, k], factors, out[:, :, k], order=interp_order, mode="nearest",
                     grid_mode=im.shape[2] in (1, 3))
    return out


def oversample(images, crop_dims):
    """Ten crops of each image (H, W, K): four corners and the centre, then the same mirrored.

    crop_dims: (height, width). Returns (10 * len(images), height, width, K), those of the first
    image first.
    """
    images = list(images)
    shape = np.asarray(images[0]).shape
    h, w = (int(n) for n in crop_dims)
    if h > shape[0] or w > shape[1]:
        raise DataError(f"crops of {h} x {w} don't fit into images of {shape[0]} x {shape[1]}")
    centre = int(shape[0] / 2 - h / 2), int(shape[1] / 2 - w / 2)
    corners = [(y, x) for y in (0, shape[0] - h) for x in (0, shape[1] - w)] + [centre]
    crops = np.empty((10 * len(images), h, w, shape[2]), np.float32)
    for i, image in enumerate(images):
        for j, (y, x) in enumerate(corners):
            crops[10 * i + j] = image[y:y + h, x:x + w]
        crops[10 * i + 5:10 * i + 10] = crops[10 * i:10 * i + 5, :, ::-1]
    return crops
