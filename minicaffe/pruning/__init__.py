"""What takes weights away: one method a file, registered by the name prototxt files use."""

from . import magnitude, node, off_diagonal_l1  # noqa: F401 (each registers its class)
from .base import method_class

__all__ = ["method_class"]
