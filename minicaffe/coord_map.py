"""Where the pixels of one blob lie in another: offsets of Crop layers, for NetSpec nets.

A map is (axis, a, b): pixel x of one blob lies at a x + b of another, on every axis after `axis`
(a, b: one number, or arrays with one an axis; axis None: no layer has moved anything). A layer maps
its bottom to its top; maps of chained layers are composed, those against the arrow inverted. As
pycaffe's coord_map, which minicaffe has under the same names:

    n.score = crop(n.upscore, n.data)      # a Crop layer whose axis and offset align the two
"""

import collections

import numpy as np

from .errors import Error
from .net_spec import layers

# these leave coordinates as they are
PASS_THROUGH = frozenset([
    "AbsVal", "Affine", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp",
    "GELU", "LRN", "Log", "MVN", "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Split",
    "Swish", "TanH", "Threshold"])


class UndefinedMapException(Error):
    """A layer type whose tops have no coordinates that belong to its bottom's."""


class AxisMismatchException(Error):
    """Two maps that concern different axes."""


def conv_params(fn):
    """(axis, stride, kernel, pad) of a Convolution, Pooling or Deconvolution Function.

    kernel is the extent, dilation * (kernel_size - 1) + 1. All but axis, the channel axis, are
    arrays with one number, or one a spatial axis.
    """
    given = fn.params.get("pooling_param" if fn.type_name == "Pooling" else "convolution_param",
                          fn.params)
    axis = given.get("axis", 1)
    kernel, stride, pad = (_size(given, name, default) for name, default in
                           (("kernel", None), ("stride", 1), ("pad", 0)))
    if kernel is None or given.get("global_pooling"):
        raise UndefinedMapException(f"{fn.type_name} has no kernel of a fixed size")
    dilation = np.array(given.get("dilation", 1), ndmin=1)
    return axis, stride, dilation * (kernel - 1) + 1, pad


def _size(given, name, default):
    """A size by its Caffe names: (kernel_size or NAME) once or by axis, or NAME_h and NAME_w."""
    if f"{name}_h" in given or f"{name}_w" in given:
        fallback = 0 if default is None else default
        return np.array([given.get(f"{name}_{axis}", fallback) for axis in "hw"])
    value = given.get("kernel_size" if name == "kernel" else name, default)
    return None if value is None else np.array(value, ndmin=1)


def crop_params(fn):
    """(axis, offset) of a Crop Function."""
    given = fn.params.get("crop_param", fn.params)
    return given.get("axis", 2), np.array(given.get("offset", 0), ndmin=1)


def coord_map(fn):
    """The map (axis, a, b) of a Function: pixel x of its bottoms lies at a x + b of its tops."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"layer type {fn.type_name} has no map of coordinates")


def compose(base_map, next_map):
    """The map that does next_map first, then base_map, both (axis, a, b)."""
    axis1, a1, b1 = base_map
    axis2, a2, b2 = next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"one map concerns axis {axis1}, the other axis {axis2}")
    return (axis2 if axis1 is None else axis1), a1 * a2, a1 * b2 + b1


def inverse(coord_map):
    """The map the other way round."""
    axis, a, b = coord_map
    return axis, 1 / np.asarray(a, float), -b / np.asarray(a, float)


def coord_map_from_to(top_from, top_to):
    """The map from pixels of one top of a NetSpec to those of another, over a common ancestor."""
    from_maps, to_maps = _maps_to(top_from), _maps_to(top_to)
    for top, to_map in to_maps.items():                     # nearest to top_to first
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise UndefinedMapException(f"no map between tops of {top_from.fn.type_name} and "
                                f"{top_to.fn.type_name}: no spatial layers connect them")


def _maps_to(top):
    """{ancestor: map from it to `top`}, as far as the layers between have maps; nearest first."""
    maps = {top: (None, 1, 0)}
    waiting = collections.deque([top])
    while waiting:
        here = waiting.popleft()
        bottoms = here.fn.inputs[:1] if here.fn.type_name == "Crop" else here.fn.inputs
        for bottom in bottoms:
            if bottom not in maps:
                try:
                    maps[bottom] = compose(maps[here], coord_map(here.fn))
                except UndefinedMapException:
                    break
                waiting.append(bottom)
    return maps


def crop(top_from, top_to):
    """The top of a Crop layer that cuts top_from to the pixels that top_to has."""
    axis, a, b = coord_map_from_to(top_from, top_to)
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    offset = -np.round(b)
    if not np.allclose(a, 1):
        raise Error(f"can't crop: one pixel of the one top is {a} pixels of the other")
    if (offset < 0).any() or not np.allclose(-b, offset):
        raise Error(f"can't crop at offset {-b}: it must be whole numbers from 0 up")
    return layers.Crop(top_from, top_to, crop_param={
        "axis": (1 if axis is None else axis) + 1, "offset": [int(n) for n in offset]})
