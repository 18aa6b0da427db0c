"""Pruning a net at once, and the description of the condensed net."""

import numpy as np
import pytest
from net_helpers import LOSS, build, inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.net.pruning import condensed_net, prune
from minicaffe.proto import caffe_pb2, text

WIDE = "name: 'wide' " + inputs(x=(4, 6), label=(4,)) + ip("a", "x", 4) \
    + layer("r", "ReLU", "a", "a") + ip("c", "a") + LOSS


@pytest.mark.parametrize("transpose", [False, True])
def test_blocks_of_a_net(transpose):
    net = build(WIDE.replace("num_output: 4", f"num_output: 4 transpose: {str(transpose).lower()}"))
    w = net.params["a"][0].data.copy()
    w, bias = w.T if transpose else w, net.params["a"][1].data.copy()
    prune(net, caffe_pb2.PruningParameter(layer=["a"], num_blocks=2))
    assert_array_equal(net.params["a"][0].data, [w[:2, :3], w[2:, 3:]])
    assert_array_equal(net.params["a"][1].data, bias)


def test_unequal_blocks_of_a_net():
    net = build(WIDE)
    w, bias = (blob.data.copy() for blob in net.params["a"])
    prune(net, caffe_pb2.PruningParameter(layer=["a"], block_output_dim=[3, 1],
                                          block_input_dim=[2, 4]))
    assert_array_equal(net.params["a"][0].data, [*w[:3, :2].flat, *w[3, 2:]])
    x = net.blobs["x"].data = np.random.default_rng(0).normal(size=(4, 6))
    net.forward(end="a")
    expected = np.hstack([x[:, :2] @ w[:3, :2].T, x[:, 2:] @ w[3:, 2:].T]) + bias
    assert_allclose(net.blobs["a"].data, expected, rtol=1e-5, atol=1e-6)


def test_several_layers_at_once():
    net = build(WIDE)
    prune(net, caffe_pb2.PruningParameter(layer=["a", "c"], method="MAGNITUDE", target=5))
    assert [np.count_nonzero(net.params[name][0].data) for name in "ac"] == [5, 5]


def test_condensed_net():
    source = text.parse("""
        layer { name: "a" type: "ReLU" }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { lr_mult: 3 }
                include { phase: TEST } blobs { shape { dim: 4 } }
                inner_product_param { num_output: 4 axis: 2 transpose: true bias_term: false
                                      weight_filler { type: "msra" } } }
        layer { name: "b" type: "InnerProduct" inner_product_param { num_output: 6 } }""",
                        caffe_pb2.NetParameter)
    expected = text.parse("""
        layer { name: "a" type: "ReLU" }
        layer { name: "a" type: "BlockInnerProduct" bottom: "x" top: "a" param { lr_mult: 3 }
                include { phase: TEST }
                block_inner_product_param { num_output: 4 axis: 2 bias_term: false num_blocks: 2
                                            weight_filler { type: "msra" } } }
        layer { name: "b" type: "InnerProduct" inner_product_param { num_output: 6 } }""",
                          caffe_pb2.NetParameter)
    before = source.SerializeToString()
    assert text.to_text(condensed_net(source, {"a": {"num_blocks": 2}})) == text.to_text(expected)
    assert source.SerializeToString() == before
