"""Type "Python": a layer class of the user's own, from a file on the Python path."""

import importlib
import inspect
import os
import sys

from ..errors import LayerError
from .base import Layer, register_layer


@register_layer("Python")
class Python(Layer):
    """What a user's class becomes when a net of type "Python" layers uses it.

        layer { type: "Python" ...
                python_param { module: "my_file" layer: "MyLayer" param_str: "3" } }

    MyLayer in my_file.py is a subclass of minicaffe.Layer with setup, reshape, forward and
    backward; it finds param_str in self.param_str, and adds parameters with self.add_blob(shape)
    or pycaffe's self.blobs.add_blob(2, 3). It takes any number of bottoms and tops unless it sets
    num_bottom and num_top itself. On the GPU data and diff are CuPy arrays: compute with self.xp in
    place of NumPy, or fetch them by minicaffe.to_numpy and write results by `top[0].data = values`,
    which copies NumPy arrays to the device.
    Source: python_layer.hpp.
    """

    num_bottom = num_top = (0, None)
    reshape_always = True        # what the user's reshape depends on is not ours to know
    needs_host = True


def python_layer_class(layer_param, error=LayerError):
    """The class that a LayerParameter of type "Python" names, ready to be instantiated.

    Modules are searched on sys.path and in the current directory. Raises `error` if there is no
    such module, or no such Layer in it. What the module itself raises goes through untouched.
    """
    p = layer_param.python_param
    if not p.module or not p.layer:
        raise error("python_param needs module (a file's name without .py) and layer (a class)")
    module = _import(p.module, error)
    cls = getattr(module, p.layer, None)
    if cls is None:
        known = [name for name, value in vars(module).items() if _is_layer(value)]
        hint = f"its layers are {', '.join(known)}" if known else "it defines no layer"
        raise error(f"module '{p.module}' has no class '{p.layer}': {hint}")
    if not _is_layer(cls):
        raise error(f"'{p.layer}' of module '{p.module}' is not a subclass of minicaffe.Layer")
    # the user's attributes come first, then Python's above, then Layer's
    return type(cls.__name__, (cls, Python), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def _is_layer(value):
    return inspect.isclass(value) and issubclass(value, Layer) and value is not Layer


def _import(name, error):
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(1, here)         # after the script's own folder, as PYTHONPATH=. puts it
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not (name + ".").startswith(problem.name + "."):
            raise                        # the module is there, but one that it imports is not
        raise error(f"there is no module '{name}' on the Python path or in {here}") from problem
