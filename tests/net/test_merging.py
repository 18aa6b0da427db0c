"""Merged orders: the net's outputs and gradients stay, one permutation is gone."""

import numpy as np
import pytest
from net_helpers import build, layer
from numpy.testing import assert_array_equal
from sparse_net_helpers import chain, check_equal, from_messages, product

import minicaffe as caffe
from minicaffe.errors import NetError
from minicaffe.net.copying import net_to_proto
from minicaffe.net.merging import merge_orders
from minicaffe.net.sparsify import DENSE, SPARSE, convert
from minicaffe.proto import caffe_pb2, text


def message(source):
    return text.parse(source, caffe_pb2.NetParameter)


def randomized(source, **options):
    """A net with Gaussian values in all blobs that hold numbers a channel."""
    net, rng = build(text.to_text(source), **options), np.random.default_rng(0)
    for name in net.params:
        if name not in "abc":
            for blob in net.params[name]:
                blob.data = abs(rng.normal(size=blob.shape)) + 0.5
    return net


BETWEEN = {
    "nothing": None,
    "ReLU in place": layer("r", "ReLU", "a"),
    "several": layer("s", "Sigmoid", "a")
    + layer("u", "Power", "s", "s", "power_param { scale: 2 }") + layer("r", "TanH", "s"),
    "BatchNorm": layer("n", "BatchNorm", "a", "a", "batch_norm_param { use_global_stats: true }")
    + layer("s", "Scale", "a", "a", "scale_param { bias_term: true }") + layer("r", "ReLU", "a"),
    "PReLU": layer("r", "PReLU", "a"),
    "one slope": layer("r", "PReLU", "a", more="prelu_param { channel_shared: true }"),
    "Bias": layer("r", "Bias", "a"),
    "Affine": layer("r", "Affine", "a"),
    "Dropout": layer("r", "Dropout", "a"),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_outputs_and_gradients_stay(between):
    source = message(chain(SPARSE, between=BETWEEN[between]))
    old = randomized(source, phase=caffe.TEST)
    stored = net_to_proto(old)
    before = source.SerializeToString(), stored.SerializeToString()
    net, weights = merge_orders(source, stored)
    assert (source.SerializeToString(), stored.SerializeToString()) == before
    new = from_messages(net, weights, old, phase=caffe.TEST)
    check_equal(new, old)
    first = next(layer for layer in weights.layer if layer.name == "a")
    assert not first.sparse_orthogonal_inner_product_param.permute_output
    assert not new.layer_dict["a"].outputs.permuted and new.layer_dict["a"].inputs.permuted
    assert [len(new.params[name]) for name in "ab"] == [3, 4]
    rows = old.params["a"][3].data.astype(int)
    assert_array_equal(new.blobs["r"].data, old.blobs["r"].data[:, rows])
    for name in set(new.params) - set("abc"):
        for ours, theirs in zip(new.params[name], old.params[name]):
            assert_array_equal(ours.data, theirs.data[rows] if theirs.size == 16 else theirs.data)


def test_batch_statistics_in_training():
    source = message(chain(SPARSE, between=layer("n", "BatchNorm", "a") + layer("r", "ReLU", "n")))
    old = randomized(source)
    check_equal(from_messages(*merge_orders(source, net_to_proto(old)), old), old)


def test_a_longer_chain_and_what_comes_of_it_as_dense_layers():
    more = product("d", "a", SPARSE, 16, 'type: "sao" degree: 4') + layer("r", "ReLU", "d")
    source = message(chain(SPARSE, between=more, spec="param { lr_mult: 2 } param { lr_mult: 3 } "
                                                      "param { lr_mult: 0 } param { lr_mult: 0 }"))
    old = build(text.to_text(source))
    old.params["a"][1].mask = np.arange(16) % 3 > 0
    net, weights = merge_orders(source, net_to_proto(old))
    new = from_messages(net, weights, old)
    check_equal(new, old)
    assert [new.layer_dict[name].outputs.permuted for name in "adb"] == [False, False, True]
    assert new.params_lr[:3] == [2, 3, 0]
    assert_array_equal(new.params["a"][1].mask, new.params["a"][1].data != 0)
    dense = from_messages(*convert(net, weights, DENSE)[:2], old)
    check_equal(dense, old)
    assert all(dense.layer_dict[name].type == DENSE for name in "adb")


OTHER_READER = layer("r", "ReLU", "a") + layer("e", "Power", "a")


@pytest.mark.parametrize("between", [
    OTHER_READER, layer("e", "Power", "a") + layer("r", "ReLU", "a"),
    layer("r", "ReLU", "a", more="include { phase: TRAIN }"),
    layer("r", "ReLU", "a", more="exclude { phase: TEST }"),
    layer("r", "ReLU", "a", more="include { phase: TRAIN }")
    + layer("r", "TanH", "a", more="include { phase: TEST }"),
    layer("r", "ReLU", "a", more="loss_weight: 1"),
    layer("r", "MaxMin", "a") + layer("q", "Power", "r"),
    layer("r", "LayerNorm", "a"), layer("r", "Softmax", "a"),
    layer("r", "Scale", "a", more="scale_param { axis: 0 num_axes: 2 }"),
    layer("r", "Scale", "a", more="scale_param { axis: 0 num_axes: -1 }")])
def test_nets_whose_blobs_between_are_read_by_others(between):
    source = message(chain(SPARSE, between=between))
    with pytest.raises(NetError, match=f"no two {SPARSE} layers in a row"):
        merge_orders(source, net_to_proto(build(text.to_text(source))))


def test_a_scale_of_each_sample_in_a_batch_as_large_as_the_layer():
    scale = layer("r", "Scale", "a", more="scale_param { axis: 0 }")
    source = message(chain(SPARSE, between=scale).replace("dim: 5", "dim: 16"))
    net = build(text.to_text(source))
    assert net.params["r"][0].shape == (16,) == net.blobs["a"].shape[1:]
    with pytest.raises(NetError, match=f"no two {SPARSE} layers in a row"):
        merge_orders(source, net_to_proto(net))


@pytest.mark.parametrize("axis", [2, -1])
def test_products_of_the_last_axis(axis):
    source = message(chain(SPARSE, more=f"axis: {axis}", between=layer("r", "GELU", "a"))
                     .replace("dim: 5 dim: 8", "dim: 5 dim: 3 dim: 8"))
    old = build(text.to_text(source))
    assert old.blobs["a"].shape == (5, 3, 16)
    check_equal(from_messages(*merge_orders(source, net_to_proto(old)), old), old)


def test_products_of_different_axes():
    """The second takes all of what the first makes a part of at a time."""
    source = message(chain(SPARSE, between=layer("r", "GELU", "a")).replace(
        "dim: 5 dim: 8", "dim: 5 dim: 3 dim: 8"))
    first = next(each for each in source.layer if each.name == "a")
    first.sparse_orthogonal_inner_product_param.axis = 2
    second = next(each for each in source.layer if each.name == "b")
    second.sparse_orthogonal_inner_product_param.weight_filler.degree = 12
    net = build(text.to_text(source))
    with pytest.raises(NetError, match=f"no two {SPARSE} layers in a row"):
        merge_orders(source, net_to_proto(net))


@pytest.mark.parametrize("more, between", [
    ("permute_output: false", None), ("permute_input: false", None),
    ("axis: -1", layer("r", "Bias", "a"))])
def test_layers_that_have_no_two_orders(more, between):
    source = message(chain(SPARSE, more=more, between=between)
                     .replace("dim: 5 dim: 8", "dim: 5 dim: 1 dim: 8"))
    with pytest.raises(NetError, match=f"no two {SPARSE} layers in a row"):
        merge_orders(source, net_to_proto(build(text.to_text(source))))


def test_two_layers_of_one_name_have_the_same_values():
    bias = chain(SPARSE, between=layer("r", "Bias", "a"))
    weights = net_to_proto(build(bias))
    with pytest.raises(NetError, match=f"no two {SPARSE} layers in a row"):
        merge_orders(message(bias + layer("r", "Bias", "t", "z")), weights)


def test_weights_shared_by_name():
    source = message(chain(SPARSE, spec="param { name: 'w' }"))
    next(layer for layer in source.layer if layer.name == "c").param.add().name = "w"
    weights = net_to_proto(build(text.to_text(message(chain(SPARSE)))))
    with pytest.raises(NetError, match="layer 'a': it shares the parameter 'w' with layer 'c'"):
        merge_orders(source, weights)
