"""Shapes, seeds, sources of a net, what it refuses, and looking inside."""

import logging

import numpy as np
import pytest
from net_helpers import DATA, LOSS, SMALL, build, file_of, inputs, ip, layer, net_param
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe import layers
from minicaffe.errors import FileError, LayerError, NetError, ParseError
from minicaffe.net import seed
from minicaffe.net.copying import net_to_proto

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


@pytest.mark.parametrize("phase", [7, -1, 1.5])
def test_a_phase_that_is_none(tmp_path, phase):
    with pytest.raises(NetError, match=f"the phase must be minicaffe.TRAIN or .*, not {phase}"):
        caffe.Net(file_of(tmp_path, SMALL), phase)
