"""Parameters that layers share, weights in and out of a net."""

import pathlib

import numpy as np
import pytest
from net_helpers import DATA, LOSS, SMALL, build, file_of, ip, layer, net_param
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe as caffe
from minicaffe.errors import FileError, LayerError, WeightsError
from minicaffe.net.copying import net_to_proto
from minicaffe.proto import caffe_pb2, weights

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


def test_of_several_layers_of_one_name_the_first_gets_the_weights():
    net = build(DATA + ip("a", "x", 6) + ip("a", "x", 6).replace('top: "a"', 'top: "b"'))
    twins = [layer for layer in net.layers if layer.name == "a"]
    before = twins[1].blobs[0].data.copy()
    source = net_to_proto(build(DATA + ip("a", "x", 6)))
    net.copy_from(source)
    stored = next(layer for layer in source.layer if layer.name == "a")
    assert_array_equal(twins[0].blobs[0].data, weights.blob_to_array(stored.blobs[0]))
    assert_array_equal(twins[1].blobs[0].data, before)


def test_layers_of_one_name_get_their_own_weights_back():
    twins = DATA + ip("a", "x", 6) + ip("a", "x", 6).replace('top: "a"', 'top: "b"')
    net = build(twins)
    net.layers[-1].blobs[0].data[...] = 7
    again = caffe.Net(net_to_proto(net), dtype=net.dtype)
    for mine, theirs in zip(again.layers, net.layers):
        for blob, other in zip(mine.blobs, theirs.blobs):
            assert_array_equal(blob.data, other.data)
