"""Pruning of a net's layers: a method for each, and the net with its diagonal blocks alone."""

from .. import pruning
from ..errors import Error, NetError
from ..nets import block_diagonal
from ..proto import caffe_pb2
from .surgery import check_replaceable, replace_layer

_LAYERS = {"OFF_DIAGONAL": ("InnerProduct",), "MAGNITUDE": ("InnerProduct", "Convolution"),
           "NODE": ("InnerProduct", "Convolution")}


def method_for(net, message, name):
    """The pruning method that a PruningParameter asks for, on the weights of the layer `name`.

    Raises NetError where the net has no such layer, its type has no such weights, the message's
    values don't fit them, or the layer would have to be replaced at the end and can't be.
    """
    layer, method = net.layers[net._index(name)], message.Method.Name(message.method)
    if layer.type not in _LAYERS[method]:
        raise NetError(f"layer '{name}' is of type {layer.type}: {method} prunes "
                       + " and ".join(_LAYERS[method]))
    if message.method == message.OFF_DIAGONAL:
        check_replaceable(net, name)
    biases = layer.blobs[1] if len(layer.blobs) > 1 else None
    transposed = layer.type == "InnerProduct" and layer.param.transpose
    try:
        return pruning.method_class(method)(message, layer.blobs[0], biases, transposed)
    except Error as problem:
        raise NetError(f"pruning of layer '{name}': {problem}") from problem


def prune(net, message):
    """Prune a net at once as a PruningParameter says; OFF_DIAGONAL leaves BlockInnerProduct layers.

    Raises NetError as method_for and surgery do.
    """
    for name in message.layer:
        method = method_for(net, message, name)
        method.start()
        method.prune(1.0, 0.0)
        if message.method == message.OFF_DIAGONAL:
            condense(net, method, name)


def condense(net, method, name):
    """Let a BlockInnerProduct of the diagonal blocks stand for the pruned layer of that name."""
    layer = net.layers[net._index(name)]
    weights = layer.blobs[0]
    arrays = [method.condense(weights.data), *(blob.data for blob in layer.blobs[1:])]
    param = block_diagonal(layer.layer_param, **method.blocks)
    new = replace_layer(net, param, arrays)
    mask = method.condense(weights.mask)
    if not mask.all():                           # its filler gave the dense layer a mask already
        new.blobs[0].mask = mask


def condensed_net(net_param, blocks):
    """The NetParameter of the condensed net; blocks: layer name -> fields of its blocks."""
    new = caffe_pb2.NetParameter()
    new.CopyFrom(net_param)
    for layer in new.layer:
        if layer.name in blocks and layer.type == "InnerProduct":
            layer.CopyFrom(block_diagonal(layer, **blocks[layer.name]))
    return new
