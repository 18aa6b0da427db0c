"""Net with pycaffe's names: building, running, weights, reshaping, logging, and what it refuses."""

import logging
import pathlib

import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer, net_param
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe import layers
from minicaffe.errors import FileError, LayerError, NetError, ParseError, WeightsError
from minicaffe.net import seed
from minicaffe.net.copying import net_to_proto
from minicaffe.proto import caffe_pb2, weights

DATA = inputs(x=(4, 5), label=(4,))
LOSS = layer("loss", "SoftmaxWithLoss", "c label")
SMALL = "name: 'small' " + DATA + ip("a", "x", 6) + layer("r", "ReLU", "a", "a") + ip("c", "a") \
    + LOSS


def file_of(tmp_path, text, name="net.prototxt"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def data(net, *names):
    return [net.blobs[name].data.copy() for name in names]


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


def test_further_blobs_are_returned_as_views():
    net = build(SMALL)
    out = net.forward(blobs=["c", "a"])
    assert set(out) == {"loss", "c", "a"} and out["c"] is net.blobs["c"].data


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
    assert loss == pytest.approx(by_hand(net)[0])
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


# ---- shared parameters

def shared(first="", second="", size=5):
    name = 'param {{ name: "w" {} }} param {{ name: "b" }}'
    return DATA.replace("dim: 5", f"dim: {size}") + ip("a", "x", 5, more=name.format(first)) \
        + ip("d", "a", 5, more=name.format(second)) + ip("c", "d") + LOSS


def test_shared_parameters_have_one_value_and_a_summed_gradient():
    net = build(shared())
    a, d = net.params["a"], net.params["d"]
    assert np.shares_memory(a[0].data, d[0].data) and np.shares_memory(a[1].diff, d[1].diff)
    assert len(net.learnable_params) == 4
    net.forward()
    net.backward()
    apart = build(shared().replace('name: "w"', "").replace('name: "b"', ""))
    for name in "ad":
        for i in range(2):
            apart.params[name][i].data[...] = a[i].data
    for i in range(2):
        apart.params["c"][i].data[...] = net.params["c"][i].data
    apart.forward()
    apart.backward()
    for i in range(2):
        total = apart.params["a"][i].diff + apart.params["d"][i].diff
        assert_allclose(a[i].diff, total, rtol=1e-10, atol=1e-13)


def test_multipliers_of_a_shared_parameter():
    assert build(shared("lr_mult: 2")).params_lr[0] == 2
    assert build(shared("", "lr_mult: 2")).params_lr[0] == 2
    assert build(shared("lr_mult: 2", "lr_mult: 2 decay_mult: 0")).params_weight_decay[0] == 0
    with pytest.raises(LayerError, match="'d'.*shared parameter 'w' has lr_mult 3 here and "
                                         "2 in layer 'a'"):
        build(shared("lr_mult: 2", "lr_mult: 3"))
    with pytest.raises(LayerError, match="decay_mult 0 here and 2 in layer 'a'"):
        build(shared("decay_mult: 2", "decay_mult: 0"))


def test_shapes_of_shared_parameters():
    clash = DATA + ip("a", "x", 5, more="param { name: 'w' }") \
        + layer("e", "Reshape", "x", more="reshape_param { shape { dim: 4 dim: 5 dim: 1 } }") \
        + layer("d", "InnerProduct", "e", more="""param { name: "w" share_mode: MODE }
                inner_product_param { num_output: 25 axis: 2 bias_term: false }""")
    with pytest.raises(LayerError, match=r"blob 0 of shape \(25, 1\) can't share parameter 'w' of "
                                         r"layer 'a', which has shape \(5, 5\)"):
        build(clash.replace("MODE", "STRICT"))
    net = build(clash.replace("MODE", "PERMISSIVE"))
    assert_array_equal(net.params["d"][0].data.ravel(), net.params["a"][0].data.ravel())
    with pytest.raises(LayerError, match="can't share parameter 'w'"):
        build(clash.replace("MODE", "PERMISSIVE").replace("num_output: 25", "num_output: 24"))


def test_more_params_than_blobs():
    with pytest.raises(LayerError, match="param is given 3 times for 2 blobs"):
        build(DATA + ip("c", "x", more="param {} param {} param {}"))


# ---- weights

def test_save_and_load(tmp_path):
    net, other = build(SMALL, seed=1), build(SMALL, seed=2)
    mask = np.random.default_rng(0).random((6, 5)) < 0.5
    net.params["a"][0].mask = mask
    net.save(tmp_path / "w.caffemodel")
    other.copy_from(tmp_path / "w.caffemodel")
    for mine, theirs in zip(net.learnable_params, other.learnable_params):
        assert_array_equal(mine.data, theirs.data)
    assert_array_equal(other.params["a"][0].mask, mask)
    assert other.params["c"][0].mask is None
    written = weights.read_net_weights(str(tmp_path / "w.caffemodel"))
    assert written.name == "small"
    assert [(p.name, p.type, len(p.blobs)) for p in written.layer] == [
        ("in", "Input", 0), ("a", "InnerProduct", 2), ("r", "ReLU", 0), ("c", "InnerProduct", 2),
        ("loss", "SoftmaxWithLoss", 0)]


def test_weights_while_building(tmp_path):
    net = build(SMALL, seed=1)
    net.save(tmp_path / "w.caffemodel")
    path, model = file_of(tmp_path, SMALL), str(tmp_path / "w.caffemodel")
    options = {"dtype": np.float64}
    for other in (caffe.Net(path, caffe.TEST, weights=model, **options),
                  caffe.Net(path, model, caffe.TEST, **options),          # pycaffe's older form
                  caffe.Net(path, pathlib.Path(model), caffe.TEST, **options)):
        assert other.phase == caffe.TEST
        assert_array_equal(other.params["a"][0].data, net.params["a"][0].data)


def test_single_precision_weights_fit_double_and_back(tmp_path):
    single, double = build(SMALL, dtype=np.float32, seed=1), build(SMALL, seed=2)
    single.save(tmp_path / "w")
    double.copy_from(tmp_path / "w")
    assert double.params["a"][0].data.dtype == np.float64
    assert_array_equal(double.params["a"][0].data, single.params["a"][0].data)


def test_layers_are_matched_by_name(tmp_path):
    net = build(SMALL, seed=1)
    net.save(tmp_path / "w")
    other = build(DATA + ip("a", "x", 6) + ip("new", "a") + layer("c", "ReLU", "new"), seed=2)
    before = other.params["new"][0].data.copy()
    with pytest.raises(WeightsError, match="w: layer 'c' has 2 blobs there, 0 in the net"):
        other.copy_from(tmp_path / "w")
    other = build(DATA + ip("a", "x", 6) + ip("new", "a"), seed=2)
    other.copy_from(tmp_path / "w")
    assert_array_equal(other.params["a"][1].data, net.params["a"][1].data)
    assert_array_equal(other.params["new"][0].data, before)


def test_a_clash_of_shapes_says_both_and_the_way_out(tmp_path):
    build(SMALL).save(tmp_path / "w")
    other = build(DATA + ip("a", "x", 7))
    with pytest.raises(WeightsError, match=r"w: layer 'a', blob 0 has shape \(6, 5\) there, "
                                           r"\(7, 5\) in the net; to learn it anew, rename"):
        other.copy_from(tmp_path / "w")


def test_a_clash_leaves_the_net_as_it_was(tmp_path):
    build(SMALL, seed=1).save(tmp_path / "w")
    other = build(DATA + ip("a", "x", 6) + ip("c", "a", 4), seed=2)
    before = [blob.data.copy() for blob in other.learnable_params]
    with pytest.raises(WeightsError, match="layer 'c', blob 0"):
        other.copy_from(tmp_path / "w")
    for blob, data in zip(other.learnable_params, before):
        assert_array_equal(blob.data, data)


def test_shapes_of_old_files():
    """num, channels, height, width: leading ones count as missing axes, as in Caffe."""
    net = build(DATA + ip("c", "x"))
    def stored(**shape):
        param = caffe_pb2.NetParameter()
        blobs = param.layer.add(name="c").blobs
        blobs.add(data=range(15), **shape)
        blobs.add(data=range(3), num=1, channels=1, height=1, width=3)
        return param
    net.copy_from(stored(num=1, channels=1, height=3, width=5))
    assert_array_equal(net.params["c"][0].data, np.arange(15).reshape(3, 5))
    assert_array_equal(net.params["c"][1].data, range(3))
    for clash in (dict(num=3, channels=5, height=1, width=1),
                  dict(num=1, channels=1, height=5, width=3)):
        with pytest.raises(WeightsError, match=r"\(3, 5\) in the net"):
            net.copy_from(stored(**clash))


def test_weights_without_a_mask_obey_the_blob_s():
    net = build(DATA + ip("c", "x"))
    mask = np.arange(15).reshape(3, 5) % 2 == 0
    net.params["c"][0].mask = mask
    dense = build(DATA + ip("c", "x"), seed=3)
    net.copy_from(net_to_proto(dense))
    assert_array_equal(net.params["c"][0].data, dense.params["c"][0].data * mask)
    assert_array_equal(net.params["c"][0].mask, mask)


def test_weights_in_the_file_itself():
    param = net_param(SMALL)
    param.layer[3].blobs.add(data=range(18)).shape.dim.extend((3, 6))
    param.layer[3].blobs.add(data=range(3)).shape.dim.extend((3,))
    net = caffe.Net(param, caffe.TRAIN)
    assert_array_equal(net.params["c"][0].data, np.arange(18).reshape(3, 6))


@pytest.mark.parametrize("content, message", [
    (None, "w: can't be read: no such file"), (b"", "w: .*empty"),
    (b"name: 'x'", "w: is a text file")])
def test_what_is_no_weights_file(tmp_path, content, message):
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(FileError, match=message):
        build(SMALL).copy_from(tmp_path / "w")


def test_sharing_weights():
    net, other = build(SMALL, seed=1), build(SMALL, caffe.TEST, seed=2)
    other.share_with(net)
    net.params["a"][0].data[...] = 7
    assert (other.params["a"][0].data == 7).all()
    assert not np.shares_memory(other.params["a"][0].diff, net.params["a"][0].diff)
    with pytest.raises(WeightsError, match=r"'a', blob 0: shape \(6, 5\) in one net, \(7, 5\)"):
        build(DATA + ip("a", "x", 7)).share_with(net)
    with pytest.raises(WeightsError, match="layer 'a' has 2 blobs in one net, 0 in the other"):
        build(DATA + layer("a", "ReLU", "x")).share_with(net)


# ---- shapes

@pytest.mark.parametrize("explicitly", [False, True])
def test_batches_of_other_sizes(explicitly):
    source = DATA + ip("a", "x", 6) + layer("r", "ReLU", "a", "a") + layer("f", "Flatten", "a") \
        + layer("two", "Eltwise", "f a") + ip("c", "two") + LOSS
    net = build(source)
    for n in (9, 1, 4, 30):
        x, label = np.random.default_rng(n).normal(size=(n, 5)), np.arange(n) % 3
        net.blobs["x"].reshape(n, 5)
        net.blobs["label"].reshape(n)
        if explicitly:
            net.reshape()
            assert net.blobs["c"].shape == (n, 3)
        net.clear_param_diffs()
        net.forward(x=x, label=label)
        net.backward()
        fresh = build(source.replace("dim: 4", f"dim: {n}"))
        fresh.forward(x=x, label=label)
        fresh.backward()
        assert net.total_loss == pytest.approx(fresh.total_loss, rel=1e-12)
        for mine, theirs in zip(net.learnable_params, fresh.learnable_params):
            assert_allclose(mine.diff, theirs.diff, rtol=1e-9, atol=1e-12)


def test_an_inner_blob_that_somebody_reshaped():
    net = build(SMALL)
    expected = net.forward()["loss"].copy()
    net.blobs["c"].reshape(1, 1)
    assert net.forward()["loss"] == expected and net.blobs["c"].shape == (4, 3)


def test_memory_that_went_away_between_passes():
    net = build(inputs(x=(4, 5)) + layer("f", "Flatten", "x") + layer("g", "ReLU", "x"))
    net.forward()
    net.blobs["x"].reshape(50, 5)
    net.blobs["x"].data[...] = 1
    net.blobs["x"].reshape(4, 5)
    net.blobs["x"].data[...] = 2
    assert (net.forward()["f"] == 2).all() and (net.blobs["g"].data == 2).all()


def test_arrays_that_do_not_fit():
    net = build(SMALL)
    with pytest.raises(NetError, match=r"input 'x' has shape \(3, 5\), the net expects \(4, 5\)"):
        net.forward(x=np.zeros((3, 5)))
    with pytest.raises(NetError, match="'a' is not an input of the net; inputs are x, label"):
        net.forward(a=np.zeros((4, 6)))
    with pytest.raises(NetError, match=r"diff of 'loss' has shape \(2,\), not \(\)"):
        net.backward(loss=np.zeros(2))
    with pytest.raises(NetError, match="nowhere"):
        net.backward(nowhere=np.zeros(2))
    with pytest.raises(NetError, match="layer 'nowhere'"):
        net.forward(start="nowhere")
    with pytest.raises(NetError, match="no blob 'nowhere'; its blobs are x, label, a, c, loss"):
        net.forward(blobs=["nowhere"])
    with pytest.raises(NetError, match="no blob 'nowhere'"):
        net.backward(diffs=["nowhere"])


@pytest.mark.parametrize("last", [
    ip("last", "x"), layer("last", "ReLU", "x"), layer("last", "Softmax", "x"),
    layer("last", "Convolution", "x", more="convolution_param { num_output: 2 kernel_size: 3 }"),
    layer("last", "Convolution", "x", more="convolution_param { num_output: 2 kernel_size: 1 }"),
    layer("last", "Pooling", "x", more="pooling_param { kernel_size: 3 stride: 2 }"),
    layer("last", "Pooling", "x", more="pooling_param { pool: AVE kernel_size: 2 }")])
def test_a_batch_without_pictures(last):
    net = build("force_backward: true " + inputs(x=(2, 3, 8, 8)) + last)
    net.blobs["x"].reshape(0, 3, 8, 8)
    assert net.forward()["last"].shape[0] == 0
    assert net.backward()["x"].shape == (0, 3, 8, 8)
    assert not any(blob.diff.any() for blob in net.learnable_params)


# ---- seeds, precision

def test_seeds():
    one, same, other = build(SMALL, seed=1), build(SMALL, seed=1), build(SMALL, seed=2)
    assert_array_equal(one.params["a"][0].data, same.params["a"][0].data)
    assert (one.params["a"][0].data != other.params["a"][0].data).all()


def test_a_layer_s_numbers_do_not_depend_on_other_layers():
    more = build(DATA + ip("new", "x", 2) + ip("a", "x", 6))
    assert_array_equal(more.params["a"][0].data, build(SMALL).params["a"][0].data)


def test_layers_and_phases_have_numbers_of_their_own():
    source = DATA + ip("a", "x", 5) + ip("b", "a", 5)
    net = build(source)
    assert (net.params["a"][0].data != net.params["b"][0].data).all()
    assert (net.params["a"][0].data != build(source, caffe.TEST).params["a"][0].data).all()


def test_set_random_seed(monkeypatch):
    monkeypatch.setattr(seed, "_default", None)
    fresh = [caffe.Net(net_param(SMALL), caffe.TRAIN).params["a"][0].data for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()
    caffe.set_random_seed(3)
    seeded = [caffe.Net(net_param(SMALL), caffe.TRAIN).params["a"][0].data for _ in range(2)]
    assert_array_equal(*seeded)
    assert_array_equal(seeded[0], build(SMALL, seed=3, dtype=np.float32).params["a"][0].data)


def test_dropout_differs_from_pass_to_pass_and_not_from_run_to_run():
    source = inputs(x=(20, 5)) + layer("d", "Dropout", "x")
    net, same = build(source), build(source)
    first, second = net.forward()["d"].copy(), net.forward()["d"].copy()
    assert (first != second).any()
    assert_array_equal(first, same.forward()["d"])
    assert_array_equal(second, same.forward()["d"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_precision_everywhere(dtype):
    net = build(SMALL, dtype=dtype)
    net.forward()
    net.backward()
    for blob in [*net.blobs.values(), *net.learnable_params]:
        assert blob.data.dtype == blob.diff.dtype == dtype


# ---- sources and errors

def test_a_file_and_a_parameter_give_the_same_net(tmp_path):
    one = caffe.Net(file_of(tmp_path, SMALL), caffe.TRAIN, seed=1, dtype=np.float64)
    assert_array_equal(one.params["a"][0].data, build(SMALL).params["a"][0].data)


def test_a_parameter_is_not_changed():
    param = net_param(SMALL)
    before = param.SerializeToString()
    caffe.Net(param, caffe.TEST, level=2, stages=["a"])
    assert param.SerializeToString() == before


def test_a_net_that_was_saved_is_a_source_too():
    net = build(DATA + ip("a", "x", 6) + ip("b", "a") + ip("c", "a") + LOSS)
    again = caffe.Net(net_to_proto(net), caffe.TRAIN, dtype=np.float64)
    again.forward(**{name: net.blobs[name].data for name in net.inputs})
    net.forward()
    assert again._layer_names == net._layer_names and again.total_loss == net.total_loss


BAD = [
    (DATA + ip("a", "y"), "net.prototxt:2: layer 'a' .InnerProduct.: unknown bottom 'y' "
                          ".bottom 0.: no layer of this phase makes it"),
    (DATA + ip("a", "b") + ip("b", "x"), "net.prototxt:2: layer 'a'.*: unknown bottom 'b' .*: "
                                         "layer 'b' makes it only later, at .*net.prototxt:4"),
    (DATA + ip("a", "b") + ip("b", "a"), "unknown bottom 'b' .*from this layer's own top by "
                                         "layer 'b': a cycle"),
    (DATA + ip("a", "d") + ip("b", "a") + ip("d", "b"), "own top by layer 'd': a cycle"),
    (DATA + ip("a", "a"), "own top by layer 'a': a cycle"),
    (DATA + ip("a", "x") + ip("b", "x", top="a"), "net.prototxt:4: layer 'b': top 'a' is "
                                                  "already made by layer 'a'"),
    (inputs(x=(1, 2)) + layer("s", "Slice", "x", "a a"),
     "layer 's': top 'a' is already made by layer 's'"),
    (DATA + layer("a", "InerProduct", "x"), "net.prototxt:2: layer 'a': unknown layer type "
                                            "'InerProduct': did you mean 'InnerProduct'"),
    (DATA + layer("a", "?", "x"), "unknown layer type '\\?': known are .*Convolution.*"),
    (DATA + layer("a", "ReLU", "x label"),
     "layer 'a' .ReLU.: takes 1 bottom blob.s., the file gives 2"),
    (DATA + layer("a", "ReLU", "x", ""), "takes 1 top blob.s., the file gives 0"),
    (DATA + layer("a", "SoftmaxWithLoss", "x"), "takes 2 bottom blob.s., the file gives 1"),
    (DATA + ip("a", "x", 0), "net.prototxt:2: layer 'a' .InnerProduct.: num_output 0"),
    ("name: 'empty'", "net.prototxt: the net has no layers")]


@pytest.mark.parametrize("source, message", BAD, ids=[m[-40:] for _, m in BAD])
def test_nets_that_do_not_fit_together(tmp_path, source, message):
    with pytest.raises((NetError, LayerError), match=message):
        caffe.Net(file_of(tmp_path, source), caffe.TRAIN)


def test_a_layer_of_the_other_phase_makes_no_bottom():
    source = DATA + ip("a", "x", more="include { phase: TEST }") + ip("c", "a")
    with pytest.raises(NetError, match="unknown bottom 'a'"):
        build(source)
    build(source, caffe.TEST)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileError, match="missing.prototxt: can't be read"):
        caffe.Net(str(tmp_path / "missing.prototxt"), caffe.TRAIN)
    with pytest.raises(ParseError, match="net.prototxt:1:9: .*no field 'typo'"):
        caffe.Net(file_of(tmp_path, "layer { typo: 1 }"), caffe.TRAIN)


def test_every_type_is_registered():
    assert {"Convolution", "Pooling", "InnerProduct", "SoftmaxWithLoss", "Data"} <= set(
        layers.layer_type_list())


# ---- looking inside

def test_the_first_layer_that_is_not_finite():
    net = build(SMALL)
    net.forward()
    assert net.first_not_finite() is None
    net.params["a"][1].data[2] = np.nan
    net.forward()
    assert net.first_not_finite() == ("a", "a")
    net.blobs["x"].data[0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        net.forward()
    assert net.first_not_finite() == ("in", "x")


def test_debug_info(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    c = ip("c", "x", more="param { name: 'w' } param { lr_mult: 0 }")
    net = build("debug_info: true " + DATA + c + LOSS)
    net.forward()
    net.backward()

    def mean(array):
        return f"{np.abs(array).mean():g}"

    w, b = net.params["c"]
    l1 = [sum(np.abs(getattr(p, what)).sum() for p in (w, b)) for what in ("data", "diff")]
    l2 = [np.sqrt(sum((getattr(p, what) ** 2).sum() for p in (w, b))) for what in ("data", "diff")]
    assert caplog.messages == [
        f"    [Forward] Layer in, top blob x data: {mean(net.blobs['x'].data)}",
        f"    [Forward] Layer in, top blob label data: {mean(net.blobs['label'].data)}",
        f"    [Forward] Layer c, top blob c data: {mean(net.blobs['c'].data)}",
        f"    [Forward] Layer c, param blob w data: {mean(w.data)}",
        f"    [Forward] Layer c, param blob 1 data: {mean(b.data)}",
        f"    [Forward] Layer loss, top blob loss data: {mean(net.blobs['loss'].data)}",
        f"    [Backward] Layer loss, bottom blob c diff: {mean(net.blobs['c'].diff)}",
        f"    [Backward] Layer c, param blob 0 diff: {mean(w.diff)}",
        f"    [Backward] All net params (data, diff): L1 norm = ({l1[0]:g}, {l1[1]:g}); "
        f"L2 norm = ({l2[0]:g}, {l2[1]:g})"]
