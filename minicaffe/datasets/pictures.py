"""Picture files as arrays in Caffe's order (blue, green, red), and arrays as picture files."""

import importlib
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
    """A uint8 image (C, H, W) at size = (height, width): bilinear between pixel centres."""
    zoom = importlib.import_module("scipy.ndimage").zoom       # slow to import, and rarely needed
    if image.shape[1:] == tuple(size):
        return np.ascontiguousarray(image)
    factors = [new / old for new, old in zip(size, image.shape[1:])]
    planes = [zoom(plane.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
              for plane in image]
    return np.rint(planes).clip(0, 255).astype(np.uint8)


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
