"""Implicit Split layers: a top that several layers read is handed out through one (insert_splits.cpp)."""

import collections

from ..errors import NetError
from ..proto import caffe_pb2


def insert_splits(layers):
    """`layers`, pairs (LayerParameter, place), with a Split after every top read more than once.

    A loss weight counts as a reader too. Names are Caffe's: blob_layer_0_split_1. The gradient of
    such a top is the sum over the Split's tops. The weight moves to the Split's first top; where
    Caffe clears all weights of the layer, so that a loss layer's own 1 is counted besides and the
    weights of its other tops are lost, only that one is set to 0. Raises NetError for a bottom
    nobody makes before.
    """
    source, readers, weights = _connections(layers)
    handed_out = collections.Counter()
    result = []
    for i, (layer, place) in enumerate(layers):
        layer = caffe_pb2.LayerParameter.FromString(layer.SerializeToString())
        for j, blob in enumerate(layer.bottom):
            top = source[i, j]
            if readers[top] > 1:
                layer.bottom[j] = _blob_name(layers, top, handed_out[top])
                handed_out[top] += 1
        result.append((layer, place))
        for j in range(len(layer.top)):
            top = (i, j)
            if readers[top] > 1:
                result.append((_split_layer(layers, top, readers[top], weights.get(top, 0)), place))
                if top in weights:
                    layer.loss_weight[j] = 0
                    handed_out[top] += 1
    return result


def _connections(layers):
    """For each bottom (layer, index) its source top, for each top its readers and its loss weight."""
    source, readers, weights, last_top = {}, collections.Counter(), {}, {}
    for i, (layer, place) in enumerate(layers):
        for j, blob in enumerate(layer.bottom):
            if blob not in last_top:
                raise NetError(_unknown_bottom(layers, i, j))
            source[i, j] = last_top[blob]
            readers[last_top[blob]] += 1
        for j, blob in enumerate(layer.top):
            last_top[blob] = (i, j)
        for j, weight in enumerate(layer.loss_weight[:len(layer.top)]):
            if weight:
                weights[i, j] = weight
                readers[i, j] += 1
    return source, readers, weights


def _unknown_bottom(layers, i, j):
    layer, place = layers[i]
    blob = layer.bottom[j]
    text = f"{place}: layer '{layer.name}' ({layer.type}): unknown bottom '{blob}' (bottom {j}): "
    makers = [k for k in range(i, len(layers)) if blob in layers[k][0].top]
    if not makers:
        return text + "no layer of this phase makes it"
    later, later_place = layers[makers[0]]
    if makers[0] == i or _depends(layers, makers[0], set(layer.top)):
        return text + f"it is made from this layer's own top by layer '{later.name}': a cycle"
    return text + f"layer '{later.name}' makes it only later, at {later_place}"


def _depends(layers, index, blobs):
    """Whether layer `index` reads any of `blobs`, directly or through other layers."""
    seen, waiting = set(), list(layers[index][0].bottom)
    while waiting:
        blob = waiting.pop()
        if blob in blobs:
            return True
        if blob not in seen:
            seen.add(blob)
            waiting += [b for other, _ in layers if blob in other.top for b in other.bottom]
    return False


def _blob_name(layers, top, index):
    return f"{_split_name(layers, top)}_{index}"


def _split_name(layers, top):
    layer = layers[top[0]][0]
    return f"{layer.top[top[1]]}_{layer.name}_{top[1]}_split"


def _split_layer(layers, top, count, weight):
    split = caffe_pb2.LayerParameter(name=_split_name(layers, top), type="Split")
    split.bottom.append(layers[top[0]][0].top[top[1]])
    split.top.extend(_blob_name(layers, top, k) for k in range(count))
    if weight:
        split.loss_weight.extend([weight] + [0] * (count - 1))
    return split
