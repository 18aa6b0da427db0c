"""Picture files that a text file lists, with labels."""

import os

import numpy as np

from ..errors import DataError
from .base import Dataset, resolve
from .convert import read_list
from .pictures import read_picture


class ImageList(Dataset):
    """source: a text file, `path label` a line; pictures are decoded when they are read.

    root goes in front of every path; a relative path starts in the working directory or, failing
    that, in the listing's folder. gray: 1 channel instead of 3 (blue, green, red). size: (height,
    width) that all pictures are brought to; None: each has its own, `shape` is the first one's.
    """

    def __init__(self, source, root="", gray=False, size=None):
        listing = resolve(source)
        self.source, self.folder = str(listing), listing.parent
        self.root, self.gray, self.size = root, gray, size
        entries = read_list(listing)
        self.names = [name for name, _ in entries]
        self.labels = np.array([label for _, label in entries], np.int64)
        self.shape = self.picture(0).shape

    def __len__(self):
        return len(self.names)

    def picture(self, index):
        """One picture, uint8 (C, H, W)."""
        path = self.root + self.names[index]
        beside = os.path.join(self.folder, path)
        if not os.path.exists(path) and os.path.exists(beside):
            path = beside
        try:
            return read_picture(path, self.gray, self.size)
        except DataError as error:
            raise DataError(f"{self.source}: {error}") from error

    def read(self, indices):
        """Pictures as a list of arrays (C, H, W), which may differ in size, and labels (n,)."""
        return [self.picture(i) for i in indices], self.labels[indices]
