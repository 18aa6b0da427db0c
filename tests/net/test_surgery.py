"""A layer replaced in a running net: same results where the weights are equivalent, same order."""

import numpy as np
import pytest
from net_helpers import DATA, LOSS, SMALL, build, inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import NetError
from minicaffe.net.surgery import replace_layer
from minicaffe.proto import caffe_pb2

WIDE = "name: 'wide' " + inputs(x=(4, 6), label=(4,)) \
    + ip("a", "x", 4, more="param { lr_mult: 3 } param { decay_mult: 5 }") \
    + layer("r", "ReLU", "a", "a") + ip("c", "a") + LOSS


def blocks_param(net, name="a", num_blocks=2, num_output=4, **fields):
    """The LayerParameter of a BlockInnerProduct in the place of a layer."""
    old = net.layer_dict[name].layer_param
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(old)
    param.type = "BlockInnerProduct"
    param.ClearField("inner_product_param")
    param.block_inner_product_param.num_output = num_output
    param.block_inner_product_param.num_blocks = num_blocks
    param.MergeFrom(caffe_pb2.LayerParameter(**fields))
    return param


def block_diagonal(net):
    """Zero the entries of `a` off its two blocks (2, 3) and return the blocks and the biases."""
    w, bias = net.params["a"]
    dense = to_numpy(w.data).copy()
    dense[:2, 3:] = dense[2:, :3] = 0
    w.data = dense
    return [np.stack([dense[:2, :3], dense[2:, 3:]]), to_numpy(bias.data).copy()]


def test_equivalent_layer_leaves_loss_and_gradients(xp):
    net = build(WIDE)
    arrays = block_diagonal(net)
    net.forward()
    net.clear_param_diffs()
    net.backward()
    loss, dense = float(net.total_loss), to_numpy(net.params["a"][0].diff).copy()
    others = [to_numpy(net.params[n][i].diff).copy() for n, i in (("a", 1), ("c", 0), ("c", 1))]

    new = replace_layer(net, blocks_param(net), arrays)
    net.forward()
    net.clear_param_diffs()
    net.backward()

    assert_allclose(float(net.total_loss), loss, rtol=1e-12)
    expected = [np.stack([dense[:2, :3], dense[2:, 3:]]), *others]
    for blob, diff in zip(net.learnable_params, expected):
        assert_allclose(to_numpy(blob.diff), diff, rtol=1e-10, atol=1e-14)
    assert net.layer_dict["a"] is new and net.params["a"] is new.blobs
    assert net.learnable_params[:2] == list(new.blobs)
    assert (net.params_lr, net.params_weight_decay) == ([3, 1, 1, 1], [1, 5, 1, 1])


def test_frozen_parameters_stay_frozen():
    net = build(WIDE.replace("lr_mult: 3", "lr_mult: 0"))
    arrays = block_diagonal(net)
    new = replace_layer(net, blocks_param(net), arrays)
    net.forward()
    net.backward()
    assert not new.blobs[0].diff.any() and new.blobs[1].diff.any()


def test_saved_weights_are_those_of_the_new_layer(tmp_path):
    net = build(WIDE)
    arrays = block_diagonal(net)
    replace_layer(net, blocks_param(net), arrays)
    path = str(tmp_path / "net.caffemodel")
    net.save(path)
    other = build(WIDE, seed=2)
    replace_layer(other, blocks_param(other), [0 * array for array in arrays])
    other.copy_from(path)
    assert_array_equal(other.params["a"][0].data, arrays[0].astype(np.float64))


def test_what_cannot_be_replaced():
    net = build(SMALL)
    with pytest.raises(NetError, match="no layer 'b'"):
        param = caffe_pb2.LayerParameter(name="b", type="ReLU")
        replace_layer(net, param, [])
    before = net.layers[:]
    net = build(WIDE)
    with pytest.raises(NetError, match=r"'a'.*tops have shapes \[\(4, 2\)\].*\[\(4, 4\)\]"):
        replace_layer(net, blocks_param(net, num_output=2), [np.zeros((2, 1, 3)), np.zeros(2)])
    with pytest.raises(NetError, match=r"'a'.*shapes \[\(2, 2, 3\), \(4,\)\].*\[\(4, 6\), \(4,\)\]"):
        replace_layer(net, blocks_param(net), [np.zeros((4, 6)), np.zeros(4)])
    net.forward()
    assert all(new.type == old.type for new, old in zip(net.layers, before))


def test_shared_parameters_are_refused():
    shared = "param { name: 'w' }"
    net = build("name: 'tied' " + DATA + ip("a", "x", 5, more=shared) + ip("b", "a", 5, more=shared)
                + ip("c", "b") + LOSS)
    param = blocks_param(net, num_blocks=5, num_output=5)
    with pytest.raises(NetError, match="'a' can't be replaced.*'w' with layer 'b'"):
        replace_layer(net, param, [np.zeros((5, 1, 1)), np.zeros(5)])
