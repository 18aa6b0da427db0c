"""Weights in and out of a net, by layer name (Net::CopyTrainedLayersFrom, Net::ToProto)."""

import logging

from ..errors import LayerError, WeightsError
from ..proto import caffe_pb2, hdf5, upgrade, weights

log = logging.getLogger("minicaffe")


def copy_weights(net, source, all_layers=False):
    """Copy blobs from a .caffemodel(.h5) (path) or NetParameter into the layers of the same name.

    Layers that only one side has are left alone; those of the file are logged. Returns the names of
    the layers that got weights. Raises WeightsError, with the net as it was, where the number or
    the shapes of a layer's blobs differ, with `all_layers` also where a layer would get none.
    """
    path = ""
    if not isinstance(source, caffe_pb2.NetParameter):
        path, from_hdf5 = f"{source}: ", hdf5.is_hdf5(source)
        source = hdf5.read_net_weights(source)
        if from_hdf5:
            _leave_shared_alone(net, source)
    if source.layers:
        source = upgrade.upgrade_weights(source, path.removesuffix(": ") or "weights")
    layers, copies, names = _by_name(net), [], []
    for stored in source.layer:
        layer = layers.get(stored.name)
        if layer is None and stored.blobs:
            log.info("Ignoring source layer %s", stored.name)
        if layer is None or not (stored.blobs or layer.blobs):
            continue
        names.append(stored.name)
        copies += _copies(net, layer, stored, path)
    for name, _ in net._learnable.names if all_layers else ():
        if name not in names:
            raise WeightsError(f"{path}holds no weights for layer '{name}': they are another net's")
    _carry_out(copies, [layer for sharing in net._sharing for layer in sharing.layers])
    return names


def copy_own_weights(net, layer):
    """Copy the blobs that the layer's own LayerParameter holds (a saved net used as a source)."""
    _carry_out(_copies(net, layer, layer.layer_param, ""), [layer])


def _copies(net, layer, stored, path):
    """(blob, array, mask, diff) of what a stored layer's blobs give to those of a layer."""
    if len(stored.blobs) != len(layer.blobs):
        raise WeightsError(f"{path}layer '{stored.name}' has {len(stored.blobs)} blobs there, "
                           f"{len(layer.blobs)} in the net")
    copies = {i: (blob, *_values(proto, blob, f"{path}layer '{stored.name}', blob {i}"))
              for i, (proto, blob) in enumerate(zip(stored.blobs, layer.blobs))
              # an empty one was left out in HDF5: its memory is another blob's
              if proto.ListFields() or (stored.name, i) in net._learnable.names}
    try:
        layer.check_values({i: array for i, (_, array, *_) in copies.items()})
    except LayerError as problem:
        raise WeightsError(f"{path}{problem}") from problem
    return list(copies.values())


def _carry_out(copies, layers):
    """Let blobs have their new values, and layers that may hold these blobs know of it."""
    for blob, array, mask, diff in copies:
        blob.data = array
        blob.mask = blob.mask if mask is None else mask   # without one in the file, ours rules
        if diff is not None:
            blob.diff = diff
    for layer in layers:
        layer.values_changed()


def _by_name(net):
    """Layer name -> Layer; of several of one name the first, as in Caffe."""
    return dict(zip(reversed(net._layer_names), reversed(net.layers)))


def _leave_shared_alone(net, source):
    """Empty blobs at the end of layers, for those that HDF5 files leave out as they are shared."""
    counts = {name: len(layer.blobs) for name, layer in zip(net._layer_names, net.layers)}
    for layer in source.layer:
        while len(layer.blobs) < counts.get(layer.name, 0) \
                and (layer.name, len(layer.blobs)) not in net._learnable.names:
            layer.blobs.add()


def _values(proto, blob, where):
    """The data, mask (or None) and diff (or None) of a BlobProto that must have the blob's shape.

    Old files give four sizes (num, channels, height, width): leading ones count as missing axes.
    """
    shape = weights.blob_shape(proto)
    same = shape == blob.shape
    if weights.is_legacy(proto) and len(blob.shape) <= 4:
        same = shape == (1,) * (4 - len(blob.shape)) + blob.shape
    if not same:
        raise WeightsError(f"{where} has shape {shape} there, {blob.shape} in the net; to learn it "
                           "anew, rename the layer")
    try:
        diff = None
        if proto.diff or proto.double_diff:
            diff = weights.blob_to_array(proto, "diff").reshape(blob.shape)
        return weights.blob_to_array(proto).reshape(blob.shape), weights.unpack_mask(proto), diff
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from error


def net_to_proto(net, write_diff=False):
    """The NetParameter of a net with its weights in the layers' blobs, as Caffe writes it."""
    param = caffe_pb2.NetParameter(name=net.name)
    for layer in net.layers:
        proto = param.layer.add()
        proto.CopyFrom(layer.layer_param)
        proto.ClearField("blobs")
        for blob in layer.blobs:
            weights.array_to_blob(blob.data, proto.blobs.add(), mask=blob.mask,
                                  diff=blob.diff if write_diff else None)
    return param


def write_hdf5(net, path, write_diff=False):
    """Write a net's weights as .caffemodel.h5; a shared blob once, as Caffe does."""
    hdf5.write_net_weights(net_to_proto(net, write_diff), path, set(net._learnable.names), write_diff)


def share_weights(net, other):
    """Let `net` use the memory of the other net's weights, layer by layer of the same name."""
    layers = _by_name(net)
    for name, source in zip(other._layer_names, other.layers):
        layer = layers.get(name)
        if layer is None:
            continue
        if len(layer.blobs) != len(source.blobs):
            raise WeightsError(f"layer '{name}' has {len(source.blobs)} blobs in one net, "
                               f"{len(layer.blobs)} in the other")
        for i, (mine, theirs) in enumerate(zip(layer.blobs, source.blobs)):
            if mine.shape != theirs.shape:
                raise WeightsError(f"layer '{name}', blob {i}: shape {theirs.shape} in one net, "
                                   f"{mine.shape} in the other")
            mine.share_data(theirs)
        layer.values_changed()
