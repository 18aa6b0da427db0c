"""A net built for its shapes only: inputs of given sizes stand in for data that isn't there."""

import math

from ..errors import Error
from ..net import Net
from ..net.phases import add_to_state, layers_in_state
from ..proto import caffe_pb2, upgrade


def parse_shapes(texts):
    """{"data": (64, 1, 28, 28)} from ["data=64x1x28x28"]; Error where one is not of that form."""
    shapes = {}
    for text in texts or ():
        name, _, sizes = text.partition("=")
        try:
            shapes[name] = tuple(int(size) for size in sizes.split("x"))
        except ValueError:
            shapes[name] = ()
        if not name or not shapes[name] or min(shapes[name]) < 1:
            raise Error(f"'{text}' is not of the form NAME=SIZExSIZE..., as in data=64x1x28x28")
    return shapes


def build_net(path, phase, shapes=None, level=0, stages=None):
    """The Net of a file; layers without bottoms that make the blobs in `shapes` become Input.

    shapes: {top: sizes}. Other tops of such a layer (labels) get the first size only. The arrays
    of a Blob are made on first use, so the net takes little memory until it is run.
    """
    if not shapes:
        return Net(path, phase, level, stages)
    param, places = upgrade.read_net(path)
    add_to_state(param.state, phase, level, stages)
    chosen = [layer for layer, _ in layers_in_state(param, places)]
    for name in shapes:
        if not any(name in layer.top and not layer.bottom for layer in chosen):
            raise Error(f"{path}: no layer without bottoms makes '{name}' in this phase"
                        + (f" and stage {', '.join(stages)}" if stages else ""))
    del param.layer[:]
    param.layer.extend(_input(layer, shapes) if not layer.bottom and set(layer.top) & set(shapes)
                       else layer for layer in chosen)
    param.name = param.name or str(path)
    return Net(param)


def _input(layer, shapes):
    """The Input layer in the place of a data layer."""
    batch = next(shapes[top][0] for top in layer.top if top in shapes)
    result = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top)
    for top in layer.top:
        result.input_param.shape.add(dim=shapes.get(top, (batch,)))
    return result


def param_count(layer):
    """The number of a layer's parameters."""
    return sum(blob.size for blob in layer.blobs)


def bytes_of(blobs):
    """The bytes of the blobs' data."""
    return sum(math.prod(blob.shape) * blob.dtype.itemsize for blob in blobs)
