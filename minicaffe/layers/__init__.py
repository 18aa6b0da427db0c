"""The layer types. Importing this package registers all of them by name.

As in pycaffe, `from minicaffe import layers as L; L.ReLU(top)` makes a layer of a NetSpec: names
with a capital that the package doesn't hold are those of net_spec.layers. The classes are in the
modules, and layer_class("ReLU") gives them.
"""

import importlib
import pkgutil

from .. import net_spec
from .base import Layer, layer_class, layer_type_list, register_layer

# every module of this folder is a family of layers; loading it registers them
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def __getattr__(name):
    """The NetSpec function of a layer type."""
    if not name[:1].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(net_spec.layers, name)


__all__ = ["Layer", "layer_class", "layer_type_list", "register_layer"]
