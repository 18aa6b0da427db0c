"""Picture files as arrays in Caffe's order (blue, green, red), and arrays as picture files."""

import io

import numpy as np

from ..errors import DataError
from ..files import reason
from .base import optional


def read_picture(path, gray=False, size=None):
    """A picture file as uint8 (3, H, W), or (1, H, W) if gray; brought to size = (height, width).

    Grey pictures are read as three equal channels, as Caffe does. Raises DataError where the file
    is missing or no picture.
    """
    Image = optional("PIL.Image", "image", "reading pictures")
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L" if gray else "RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        what = reason(error) if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read as a picture: {what}") from error
    image = pixels[None] if gray else pixels[:, :, ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(image) if size is None else resize(image, size)


def resize(image, size):
    """A uint8 image (C, H, W) at size = (height, width), scaled as `scaling` says, and rounded."""
    if image.shape[1:] == tuple(size):
        return np.ascontiguousarray(image)
    rows, columns = (scaling(old, new) for old, new in zip(image.shape[1:], size))
    scaled = rows @ (image.astype(np.float32) @ columns.T)
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def scaling(size, wanted):
    """(wanted, size) float32: times a line of `size` pixels, that line with `wanted` pixels.

    Linear between the pixels' middles, as OpenCV scales for Caffe; the outermost reach the edges.
    """
    middles = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    distances = np.abs(np.arange(size) - middles.clip(0, size - 1)[:, None])
    return np.maximum(0, 1 - distances).astype(np.float32)


def encode(image, kind):
    """A uint8 image (C, H, W) as the bytes of a picture file; kind: "png", "jpg" ..."""
    Image = optional("PIL.Image", "image", "encoding pictures")
    kind = {"jpg": "jpeg"}.get(kind.lower(), kind.lower())
    pixels = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind)
    except (KeyError, OSError) as error:
        raise DataError(f"pictures can't be encoded as '{kind}': {error}") from error
    return buffer.getvalue()
