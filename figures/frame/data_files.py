"""Whether data sets are the published ones, which a figure's notes tell."""

from minicaffe.datasets.base import resolve
from minicaffe.datasets.catalog import SETS, present
from minicaffe.errors import DataError


def has_other_cifar():
    """Whether there are CIFAR-10 files that are not the published ones."""
    files = SETS["cifar10"]
    try:
        return not present(files, resolve(files.folder), "test_batch.bin")
    except DataError:
        return False
