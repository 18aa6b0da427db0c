"""Nets of format V0 as V1: one message for all layer types becomes one a type."""

import logging

from ..errors import NetError
from .caffe_pb2 import V1LayerParameter

log = logging.getLogger("minicaffe")

V0_TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA", "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL",
    "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS", "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS", "pool": "POOLING",
    "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA"}

_MESSAGES = {"conv": "convolution_param", "innerproduct": "inner_product_param",
             "pool": "pooling_param", "dropout": "dropout_param", "lrn": "lrn_param",
             "data": "data_param", "hdf5_data": "hdf5_data_param", "images": "image_data_param",
             "window_data": "window_data_param", "infogain_loss": "infogain_loss_param",
             "concat": "concat_param"}

# V0 field: (the types that have it, its name in their messages); "": any type's transform_param
V0_FIELDS = {
    "num_output": ("conv innerproduct", "num_output"),
    "biasterm": ("conv innerproduct", "bias_term"),
    "weight_filler": ("conv innerproduct", "weight_filler"),
    "bias_filler": ("conv innerproduct", "bias_filler"),
    "pad": ("conv pool", "pad"),
    "kernelsize": ("conv pool", "kernel_size"),
    "group": ("conv", "group"),
    "stride": ("conv pool", "stride"),
    "pool": ("pool", "pool"),
    "dropout_ratio": ("dropout", "dropout_ratio"),
    "local_size": ("lrn", "local_size"), "alpha": ("lrn", "alpha"), "beta": ("lrn", "beta"),
    "k": ("lrn", "k"),
    "source": ("data hdf5_data images window_data infogain_loss", "source"),
    "scale": ("", "scale"), "meanfile": ("", "mean_file"), "cropsize": ("", "crop_size"),
    "mirror": ("", "mirror"),
    "batchsize": ("data hdf5_data images window_data", "batch_size"),
    "rand_skip": ("data images", "rand_skip"),
    "shuffle_images": ("images", "shuffle"),
    "new_height": ("images", "new_height"), "new_width": ("images", "new_width"),
    "concat_dim": ("concat", "concat_dim"),
    "det_fg_threshold": ("window_data", "fg_threshold"),
    "det_bg_threshold": ("window_data", "bg_threshold"),
    "det_fg_fraction": ("window_data", "fg_fraction"),
    "det_context_pad": ("window_data", "context_pad"),
    "det_crop_mode": ("window_data", "crop_mode")}


def from_v0(layers, places, inputs):
    """(V1 layers, places) of V0 layers; `inputs` are the names of the net's own input blobs.

    Padding layers vanish into the convolution or pooling layers that read them.
    """
    layers, places = _fold_padding(layers, places, inputs)
    return [_upgrade(layer, place) for layer, place in zip(layers, places)], places


def _fold_padding(layers, places, inputs):
    """The layers but for type "padding", whose pad and bottom go to their readers."""
    made_by, kept, kept_places = dict.fromkeys(inputs), [], []
    for layer, place in zip(layers, places):
        new = V1LayerParameter()
        new.CopyFrom(layer)
        for j, blob in enumerate(layer.bottom):
            if blob not in made_by:
                raise NetError(f"{place}: layer '{layer.layer.name}' ({layer.layer.type}): unknown "
                               f"bottom '{blob}' (bottom {j})")
            source = made_by[blob]
            if source is not None and source.layer.type == "padding":
                _check_padding(source, layer, place)
                new.layer.pad = source.layer.pad
                new.bottom[j] = source.bottom[0]
        made_by.update(dict.fromkeys(layer.top, layer))
        if layer.layer.type != "padding":
            kept.append(new)
            kept_places.append(place)
    return kept, kept_places


def _check_padding(source, layer, place):
    where = f"{place}: layer '{layer.layer.name}' ({layer.layer.type}): "
    if layer.layer.type not in ("conv", "pool"):
        raise NetError(f"{where}only conv and pool layers can read the padding layer "
                       f"'{source.layer.name}'")
    for who, what, blobs in (layer, "bottom", layer.bottom), (source, "bottom", source.bottom), \
            (source, "top", source.top):
        if len(blobs) != 1:
            raise NetError(f"{where}with padding, layer '{who.layer.name}' must have one {what}, "
                           f"not {len(blobs)}")


def _upgrade(layer, place):
    """One V0 layer as V1."""
    old = layer.layer
    where = f"{place}: layer '{old.name}' ({old.type}): "
    if old.type not in V0_TYPES and old.HasField("type"):
        raise NetError(f"{where}unknown V0 layer type '{old.type}'; known are {', '.join(V0_TYPES)}")
    new = V1LayerParameter(bottom=layer.bottom, top=layer.top)
    for field, value in old.ListFields():
        if field.name == "name":
            new.name = value
        elif field.name == "type":
            new.type = V1LayerParameter.LayerType.Value(V0_TYPES[value])
        elif field.name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(new, field.name).extend(value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        else:
            _move(new, old.type, field.name, value, where)
    return new


def _move(new, kind, field, value, where):
    """Set the V1 field that a V0 field became; what the type doesn't have is left out, as in Caffe."""
    kinds, name = V0_FIELDS.get(field, ("none", field))
    if kinds and kind not in kinds.split():
        log.warning("%s%s is left out: a V0 layer of this type has none", where, field)
        return
    message = getattr(new, _MESSAGES[kind] if kinds else "transform_param")
    target = getattr(message, name)
    if hasattr(target, "append"):
        target.append(value)
    elif hasattr(target, "CopyFrom"):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)
