"""One order for two: SparseOrthogonalInnerProduct layers that leave their outputs in block order.

Such a layer puts its outputs in the net's order, and the next takes them in its own blocks' order.
With element-wise layers in between both are one permutation, which the next layer can take alone.
Nets are given as in sparsify.py, as two NetParameters.
"""

import numpy as np

from ..errors import Error, NetError
from ..layers import layer_class
from ..layers.base import ElementwiseLayer
from .sparsify import (FIELDS, SPARSE, Values, check_unshared, copied, read_values, sparse_values,
                       stored_layer, stored_structure, write_values)

_BY_CHANNEL = "BatchNorm", "Scale", "Bias", "Affine", "PReLU"


def merge_orders(net, weights):
    """(net, weights) in which pairs of SparseOrthogonalInnerProduct layers have merged orders.

    The first of a pair has permute_output: false. Between them may be element-wise layers, and
    BatchNorm, Scale, Bias, Affine and PReLU, whose values of a channel each are put in the new
    order too; nothing else may read the blobs between. Outputs of the net stay what they were, but
    for rounding and for what Dropout draws; the blobs between are in another order.
    Raises NetError where there is no such pair.
    """
    net, weights = copied(net), copied(weights)
    pairs = 0
    for layer in net.layer:
        path = _path(net, layer) if layer.type == SPARSE else None
        if path is not None:
            try:
                pairs += _merge(net, weights, layer, *path)
            except Error as problem:
                raise NetError(f"layer '{layer.name}': {problem}") from problem
    if not pairs:
        raise NetError(f"the net has no two {SPARSE} layers in a row, of one axis and with nothing "
                       "but element-wise layers in between, whose orders could be merged")
    return net, weights


def _path(net, first):
    """([layers in between], the second layer) of a pair that `first` begins, or None."""
    blob, between = first.top[0], []
    if not first.sparse_orthogonal_inner_product_param.permute_output or not _is_plain(net, first):
        return None
    position = next(i for i, layer in enumerate(net.layer) if layer is first)
    while True:
        readers = [i for i, layer in enumerate(net.layer)
                   if i > position and blob in layer.bottom]
        if not readers:
            return None
        position, layer = readers[0], net.layer[readers[0]]
        if not _is_plain(net, layer) or len(readers) > 1 and blob not in layer.top:
            return None
        if layer.type == SPARSE:
            return (between, layer) if _fit(first, between, layer) else None
        if not _keeps_channels(layer):
            return None
        between.append(layer)
        blob = layer.top[0]


def _is_plain(net, layer):
    """Whether a layer is in all phases, has one bottom, one top, no loss and a name of its own."""
    return len(layer.bottom) == len(layer.top) == 1 and not layer.loss_weight \
        and not (layer.include or layer.exclude) \
        and sum(other.name == layer.name for other in net.layer) == 1


def _fit(first, between, second):
    """Whether the axis that `first` permutes is what the others take.

    The second layer's must be the same; those of a number a channel mean axis 1.
    """
    one, other = (layer.sparse_orthogonal_inner_product_param for layer in (first, second))
    return other.permute_input and one.axis == other.axis >= -1 and \
        (one.axis == 1 or not any(layer.type in _BY_CHANNEL for layer in between))


def _keeps_channels(layer):
    """Whether a layer does the same in any order of the channels, if its blobs have that order."""
    kind = layer_class(layer.type)
    if layer.type in _BY_CHANNEL:
        param = getattr(layer, kind.message)
        return all(getattr(param, field, 1) == 1 for field in ("axis", "num_axes"))
    return issubclass(kind, ElementwiseLayer)


def _merge(net, weights, first, between, second):
    """Merge the orders of a pair, in place; False where a layer between has other values."""
    for layer in first, *between, second:
        check_unshared(net, layer.name)
    stored = [stored_layer(weights, layer.name) for layer in (first, second)]
    own, other = (getattr(layer, FIELDS[SPARSE]) for layer in (first, second))
    parts, others = sparse_values(own, stored[0]), sparse_values(other, stored[1])
    rows, columns = stored_structure(own, parts).rows, stored_structure(other, others).columns
    if len(rows) != len(columns):
        raise Error(f"it has {len(rows)} outputs, layer '{second.name}' {len(columns)} inputs")
    by_channel = [stored_layer(weights, layer.name) for layer in between
                  if layer.type in _BY_CHANNEL]
    if any(array.size not in (1, len(rows)) for layer in by_channel
           for array, _ in read_values(layer)):
        return False
    for layer in by_channel:
        write_values(layer, [_in_order(values, rows) for values in read_values(layer)])
    if own.bias_term:
        parts["bias"] = _in_order(parts["bias"], rows)
    others["columns"] = Values(np.argsort(rows)[columns].astype(others["columns"].array.dtype))
    index = list(parts).index("rows")
    del parts["rows"]
    write_values(stored[0], parts.values())
    write_values(stored[1], others.values())
    for layer in first, stored[0]:
        getattr(layer, FIELDS[SPARSE]).permute_output = False
        del layer.param[index:index + 1]
    return True


def _in_order(values, rows):
    """Values of a channel each, put in the blocks' order; a single value as it is."""
    if values.array.size == 1:
        return values
    return Values(*(a if a is None else a.reshape(-1)[rows].reshape(a.shape) for a in values))
