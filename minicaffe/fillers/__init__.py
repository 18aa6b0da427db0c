"""Fillers: the initial values of parameter blobs, by the names of FillerParameter.type."""

from .base import fill, filler_type_list, register_filler
from . import standard  # noqa: F401  (registers Caffe's own fillers)

__all__ = ["fill", "filler_type_list", "register_filler"]
