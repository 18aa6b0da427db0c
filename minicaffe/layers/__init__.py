"""The layer types. Importing this package registers all of them by name."""

import importlib
import pkgutil

from .base import Layer, layer_class, layer_type_list, register_layer

# every module of this folder is a family of layers; loading it registers them
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Layer", "layer_class", "layer_type_list", "register_layer"]
