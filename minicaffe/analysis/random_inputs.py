"""Values for the inputs of a net that nobody fills: Gaussian numbers, and labels in range."""

_HANDED_ON = ("Split", "Flatten", "Reshape", "Slice", "Concat")


def fill_inputs(net, rng):
    """Write the tops of a net's Input layers: Gaussian values, or labels where labels are read.

    A label is a bottom of a loss or Accuracy whose gradient its layer does not allow; it lies in
    0 .. C-1, C being the number of classes of the scores beside it (of the fewest, for several).
    """
    for name in net.inputs:
        blob = net.blobs[name]
        classes = [_classes(net, i) for i, j in _readers(net, name)
                   if len(net._bottom_names[i]) > 1 and not net.layers[i].allow_force_backward(j)]
        values = rng.integers(min(classes), size=blob.shape) if classes \
            else rng.normal(size=blob.shape)
        blob.data[...] = blob.xp.asarray(values)


def _readers(net, name):
    """(layer index, bottom index) of all that read a blob, also through layers that hand it on."""
    for i, bottoms in enumerate(net._bottom_names):
        for j, bottom in enumerate(bottoms):
            if bottom == name:
                yield i, j
                if net.layers[i].type in _HANDED_ON:
                    for top in net._top_names[i]:
                        yield from _readers(net, top)


def _classes(net, i):
    """The number of classes of the scores, bottom 0 of layer i."""
    layer, scores = net.layers[i], net.blobs[net._bottom_names[i][0]]
    param = layer.param if layer.type == "Accuracy" else layer.layer_param.softmax_param
    return scores.shape[scores.canonical_axis(param.axis)]
