"""The cropped digits of SVHN in the official .mat files."""

import importlib

import numpy as np

from ..errors import DataError
from .base import ArrayDataset, check_counts, resolve


class SvhnDataset(ArrayDataset):
    """source: train_32x32.mat, test_32x32.mat or the folder with them, of which `split` chooses.

    A file has X, H x W x 3 x N, and y, N x 1, with label 10 for the digit 0.
    """

    def __init__(self, source, split="train"):
        path = resolve(source)
        if path.is_dir():
            path = path / f"{split}_32x32.mat"
            if not path.is_file():
                raise DataError(f"{path}: no such file")
        X, y = _read_mat(path)
        if X.ndim != 4 or X.shape[2] != 3 or X.dtype != np.uint8:
            raise DataError(f"{path}: X is {X.shape} {X.dtype}, not height x width x 3 x N uint8")
        images = X.transpose(3, 2, 0, 1)        # N x 3 x H x W; a view, since X may fill memory
        check_counts(images, y, str(path))
        if y.min() < 0 or y.max() > 10:
            raise DataError(f"{path}: labels run from {y.min()} to {y.max()}, not 1 to 10")
        super().__init__(images, y % 10, str(path))


def _read_mat(path):
    """X and y (flat) of a .mat file."""
    try:
        arrays = importlib.import_module("scipy.io").loadmat(path, variable_names=("X", "y"))
    except Exception as error:              # of damaged bytes loadmat makes any error there is
        raise DataError(f"{path}: not a readable .mat file: {error}") from error
    missing = [name for name in ("X", "y") if name not in arrays]
    if missing:
        raise DataError(f"{path}: no array {' and '.join(missing)} in it")
    return arrays["X"], arrays["y"].ravel()
