"""Net with pycaffe's names: what it holds, running it forward and backward, losses."""

import numpy as np
import pytest
from net_helpers import DATA, LOSS, SMALL, build, data, inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe.errors import LayerError, NetError

# ---- names and order

def test_pycaffe_s_views_of_a_net():
    net = build(SMALL)
    assert net.name == "small" and net.phase == caffe.TRAIN
    assert list(net.blobs) == ["x", "label", "a", "c", "loss"]
    assert list(net.params) == ["a", "c"] and [b.shape for b in net.params["a"]] == [(6, 5), (6,)]
    assert net.inputs == ["x", "label"] and net.outputs == ["loss"]
    assert net._layer_names == ["in", "a", "r", "c", "loss"]
    assert [item.type for item in net.layers] == ["Input", "InnerProduct", "ReLU", "InnerProduct",
                                                  "SoftmaxWithLoss"]
    assert net.layer_dict["c"] is net.layers[3]
    assert net.bottom_names["loss"] == ["c", "label"] and net.top_names["r"] == ["a"]
    assert net.layer_dict["c"].blobs is net.params["c"]
    assert net.params_lr == [1, 1, 1, 1] and net.params_weight_decay == [1, 1, 1, 1]


def test_outputs_are_sorted_and_inputs_are_not():
    net = build(inputs(z=(1, 2), y=(1, 2)) + layer("q", "ReLU", "z") + layer("b", "ReLU", "y")
                + layer("p", "ReLU", "y", "n"))
    assert net.inputs == ["z", "y"] and net.outputs == ["b", "n", "q"]


def test_an_unread_input_is_an_output_too():
    assert build(inputs(x=(1, 2), y=(1, 2)) + layer("a", "ReLU", "x")).outputs == ["a", "y"]


def test_a_top_left_out_of_the_file_is_no_output():
    net = build(DATA + ip("c", "x") + LOSS.replace('top: "loss"', ""))
    assert net.outputs == []
    net.forward()
    assert net.total_loss > 0


def test_multipliers():
    net = build(DATA + ip("c", "x", more="""
        param { lr_mult: 0.5 decay_mult: 2 } param { lr_mult: 3 }"""))
    assert net.params_lr == [0.5, 3] and net.params_weight_decay == [2, 1]


# ---- forward and backward

def by_hand(net):
    """The small net's loss and gradients, in a few lines of NumPy."""
    x, label = net.blobs["x"].data, net.blobs["label"].data.astype(int)
    (wa, ba), (wc, bc) = [[b.data for b in net.params[name]] for name in "ac"]
    a = np.maximum(x @ wa.T + ba, 0)
    c = a @ wc.T + bc
    p = np.exp(c) / np.exp(c).sum(axis=1, keepdims=True)
    dc = (p - np.eye(3)[label]) / len(x)
    da = dc @ wc * (a > 0)
    loss = -np.log(p[np.arange(len(x)), label]).mean()
    return loss, {"a": (da.T @ x, da.sum(axis=0)), "c": (dc.T @ a, dc.sum(axis=0))}, da @ wa


def check_by_hand(net, factor=1):
    net.clear_param_diffs()
    out = net.forward()
    net.backward()
    loss, gradients, _ = by_hand(net)
    assert out == {"loss": pytest.approx(loss, rel=1e-12)}
    assert net.total_loss == pytest.approx(factor * loss, rel=1e-12)
    for name, expected in gradients.items():
        for blob, gradient in zip(net.params[name], expected):
            assert_allclose(blob.diff, factor * gradient, rtol=1e-10, atol=1e-13)


def test_loss_and_gradients_by_hand():
    net = build(SMALL)
    for _ in range(2):
        check_by_hand(net)


def test_backward_adds_to_parameter_diffs():
    net = build(SMALL)
    for _ in range(3):
        net.forward()
        net.backward()
    _, gradients, _ = by_hand(net)
    assert_allclose(net.params["a"][0].diff, 3 * gradients["a"][0], rtol=1e-10, atol=1e-13)
    net.clear_param_diffs()
    assert not any(blob.diff.any() for blob in net.learnable_params)


def test_gradient_of_the_input():
    net = build("force_backward: true " + SMALL)
    net.forward()
    diffs = net.backward(diffs=["a"])
    assert set(diffs) == {"x", "label", "a"}
    assert_allclose(diffs["x"], by_hand(net)[2], rtol=1e-10, atol=1e-13)


def test_inputs_as_keywords():
    net = build(SMALL)
    x = np.random.default_rng(5).normal(size=(4, 5))
    net.forward(x=x, label=np.array([2, 1, 0, 1]))
    assert_array_equal(net.blobs["x"].data, x)
    assert net.total_loss == pytest.approx(by_hand(net)[0])
    net.forward(x=x + 1)                            # label stays
    assert_array_equal(net.blobs["label"].data, [2, 1, 0, 1])


def test_further_blobs_are_returned_as_views(xp):
    net = build(SMALL)
    out = net.forward(blobs=["c", "a"])
    assert set(out) == {"loss", "c", "a"}
    if xp is np:
        assert out["c"] is net.blobs["c"].data
    else:                                           # copied from the device
        assert_array_equal(out["c"], net.blobs["c"].data)


def test_forward_from_layer_to_layer():
    net = build(DATA + ip("a", "x", 6) + ip("c", "a") + LOSS)
    before, = data(net, "c")
    out = net.forward(end="a")
    assert list(out) == ["a"] and (net.blobs["c"].data == before).all()
    net.blobs["a"].data[...] = 1
    net.forward(start="c", end="c")
    w, b = net.params["c"]
    assert_allclose(net.blobs["c"].data, np.tile(w.data.sum(axis=1) + b.data, (4, 1)))
    assert set(net.forward(start="loss")) == {"loss"}
    assert net.total_loss > 0
    net.forward(end="c")
    assert net.total_loss == 0                      # no loss on the way


def test_backward_from_layer_to_layer():
    net = build(SMALL)
    net.forward()
    net.blobs["c"].diff[...] = 1
    diffs = net.backward(start="c", end="c")
    assert list(diffs) == ["a"]
    assert_allclose(diffs["a"], np.tile(net.params["c"][0].data.sum(axis=0), (4, 1)))
    assert_allclose(net.params["c"][1].diff, [4, 4, 4])
    assert not net.params["a"][0].diff.any()


def test_output_diffs_as_keywords():
    """Of a net without loss, with force_backward: a vector times the Jacobian."""
    net = build("force_backward: true " + DATA + ip("a", "x", 6) + ip("c", "a"))
    net.forward()
    c = np.random.default_rng(0).normal(size=(4, 3))
    dx = net.backward(c=c)["x"]
    assert_allclose(dx, c @ net.params["c"][0].data @ net.params["a"][0].data, rtol=1e-12)


def test_pycaffe_s_index_forms():
    net = build(SMALL)
    loss = net._forward(0, len(net.layers) - 1)
    assert float(loss) == pytest.approx(by_hand(net)[0])
    net._backward(len(net.layers) - 1, 0)
    assert net.params["a"][0].diff.any()


# ---- losses

@pytest.mark.parametrize("weight", [0.5, 3])
def test_loss_weight(weight):
    net = build(SMALL.replace('top: "loss"', f'top: "loss" loss_weight: {weight}'))
    for _ in range(2):
        check_by_hand(net, weight)
    assert net.blob_loss_weights["loss"] == weight and net.blob_loss_weights["c"] == 0


def test_several_losses_add_up():
    net = build(DATA + ip("c", "x") + LOSS + layer("mean", "ReLU", "c", more="loss_weight: 2"))
    net.forward()
    assert net.total_loss == pytest.approx(
        float(net.blobs["loss"].data) + 2 * net.blobs["mean"].data.sum(), rel=1e-12)


@pytest.mark.parametrize("more, factor", [
    (layer("last", "Flatten", "c", "f", "loss_weight: 2"), 2),              # shares c's memory
    (layer("last", "TanH", "c", "c", "loss_weight: 2"), None),                  # in place
    (layer("last", "Reshape", "c", "f", "reshape_param { shape { dim: -1 } } loss_weight: 2"), 2)])
def test_loss_weights_on_tops_that_share_memory(more, factor):
    net = build(inputs(x=(4, 5)) + ip("c", "x") + more)
    gradients = []
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        c = net.blobs["c"].data
        assert net.total_loss == pytest.approx(2 * c.sum(), rel=1e-12)
        net.backward()
        dc = np.full((4, 3), 2.0) if factor else 2 * (1 - c ** 2)
        assert_allclose(net.params["c"][1].diff, dc.sum(axis=0), rtol=1e-12)
        gradients.append(net.params["c"][0].diff.copy())
    assert_array_equal(*gradients)


def test_number_of_loss_weights():
    with pytest.raises(LayerError, match="loss_weight is given 2 times for 1 tops"):
        build(DATA + ip("c", "x", more="loss_weight: 1 loss_weight: 1"))


def test_a_span_of_layers_that_is_none():
    net = build(SMALL)
    with pytest.raises(NetError, match="layer 'c' comes after 'a': there is nothing to run"):
        net.forward(start="c", end="a")
    with pytest.raises(NetError, match="layer 'c' comes after 'a'"):
        net.backward(start="a", end="c")
