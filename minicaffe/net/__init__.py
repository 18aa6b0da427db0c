"""Nets: graphs of layers."""

from .net import Net
from .seed import set_random_seed

__all__ = ["Net", "set_random_seed"]
