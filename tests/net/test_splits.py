import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer, net_param
from numpy.testing import assert_allclose

from minicaffe.errors import NetError
from minicaffe.net.splits import insert_splits

LOSS = inputs(x=(4, 5), label=(4,))


def split(source):
    param = net_param(source)
    return [layer for layer, _ in insert_splits([(p, f"place {i}")
                                                 for i, p in enumerate(param.layer)])]


def ends(source):
    return [(p.name, list(p.bottom), list(p.top)) for p in split(source)]


def test_a_blob_read_once_needs_none():
    assert ends(LOSS + ip("a", "x") + ip("b", "a")) == [
        ("in", [], ["x", "label"]), ("a", ["x"], ["a"]), ("b", ["a"], ["b"])]


def test_names_are_caffe_s():
    assert ends(LOSS + ip("a", "x") + ip("b", "x") + ip("c", "label")) == [
        ("in", [], ["x", "label"]),
        ("x_in_0_split", ["x"], ["x_in_0_split_0", "x_in_0_split_1"]),
        ("a", ["x_in_0_split_0"], ["a"]), ("b", ["x_in_0_split_1"], ["b"]), ("c", ["label"], ["c"])]


def test_the_second_top_of_a_layer():
    assert ends(LOSS + ip("a", "label") + ip("b", "label"))[1] == (
        "label_in_1_split", ["label"], ["label_in_1_split_0", "label_in_1_split_1"])


def test_several_readers_in_one_layer():
    assert ends(inputs(x=(2, 3)) + layer("sum", "Eltwise", "x x x"))[1:] == [
        ("x_in_0_split", ["x"], [f"x_in_0_split_{k}" for k in range(3)]),
        ("sum", [f"x_in_0_split_{k}" for k in range(3)], ["sum"])]


def test_after_an_in_place_chain_the_last_maker_counts():
    source = inputs(x=(2, 3)) + ip("a", "x") + layer("r", "ReLU", "a", "a") \
        + layer("d", "Dropout", "a", "a") + ip("b", "a") + ip("c", "a")
    assert ends(source)[2:] == [
        ("r", ["a"], ["a"]), ("d", ["a"], ["a"]),
        ("a_d_0_split", ["a"], ["a_d_0_split_0", "a_d_0_split_1"]),
        ("b", ["a_d_0_split_0"], ["b"]), ("c", ["a_d_0_split_1"], ["c"])]


def test_a_loss_weight_is_a_reader_and_moves_to_the_first_top():
    source = inputs(x=(2, 3)) + ip("a", "x", more="loss_weight: 2.5") + ip("b", "a")
    layers = split(source)
    assert ends(source)[2:] == [("a_a_0_split", ["a"], ["a_a_0_split_0", "a_a_0_split_1"]),
                                ("b", ["a_a_0_split_1"], ["b"])]
    assert list(layers[1].loss_weight) == [0] and list(layers[2].loss_weight) == [2.5, 0]


def test_a_loss_weight_nobody_else_reads_stays():
    layers = split(inputs(x=(2, 3)) + ip("a", "x", more="loss_weight: 2.5"))
    assert len(layers) == 2 and list(layers[1].loss_weight) == [2.5]


def test_a_loss_weight_of_zero_is_no_reader():
    layers = split(inputs(x=(2, 3)) + ip("a", "x", more="loss_weight: 0") + ip("b", "a"))
    assert [p.name for p in layers] == ["in", "a", "b"]


def test_the_other_tops_keep_their_weights():
    layers = split(inputs(x=(2, 4))
                   + layer("s", "Slice", "x", "p q", "loss_weight: 2 loss_weight: 3")
                   + layer("r", "ReLU", "p"))
    assert list(layers[1].loss_weight) == [0, 3] and list(layers[2].loss_weight) == [2, 0]


def test_the_file_s_layers_are_not_changed():
    param = net_param(inputs(x=(2, 3)) + ip("a", "x", more="loss_weight: 2") + ip("b", "a")
                      + ip("c", "a"))
    before = param.SerializeToString()
    insert_splits([(p, "") for p in param.layer])
    assert param.SerializeToString() == before


# ---- within a net

def test_gradients_are_summed():
    net = build("force_backward: true " + inputs(x=(4, 5)) + ip("a", "x") + ip("b", "a", 2)
                + ip("c", "a", 2))
    net.forward()
    db, dc = np.random.default_rng(0).normal(size=(2, 4, 2))
    dx = net.backward(b=db, c=dc)["x"]
    wa, wb, wc = (net.params[name][0].data for name in "abc")
    assert_allclose(net.blobs["a"].diff, db @ wb + dc @ wc, rtol=1e-12)
    assert_allclose(dx, (db @ wb + dc @ wc) @ wa, rtol=1e-12)


@pytest.mark.parametrize("weight", [1, 2.5])
def test_a_loss_that_somebody_reads_counts_once(weight):
    source = LOSS + ip("a", "x") + layer("loss", "SoftmaxWithLoss", "a label",
                                         more=f"loss_weight: {weight}")
    alone, read = build(source), build(source + layer("same", "ReLU", "loss"))
    for _ in range(2):
        for net in alone, read:
            net.clear_param_diffs()
            net.forward()
            net.backward()
        assert read.total_loss == pytest.approx(weight * float(read.blobs["loss"].data), rel=1e-12)
        assert_allclose(read.params["a"][0].diff, alone.params["a"][0].diff, rtol=1e-12)


def test_a_weighted_inner_blob_adds_its_gradient():
    source = LOSS + ip("a", "x", more="loss_weight: 0.5") \
        + layer("loss", "SoftmaxWithLoss", "a label")
    net, plain = build(source), build(source.replace("loss_weight: 0.5", ""))
    for n in net, plain:
        n.forward()
        n.backward()
    assert net.total_loss == pytest.approx(plain.total_loss + 0.5 * net.blobs["a"].data.sum())
    assert_allclose(net.blobs["a"].diff, plain.blobs["a"].diff + 0.5, rtol=1e-12)


def test_reading_a_blob_before_it_is_changed_in_place_is_refused():
    with pytest.raises(NetError, match="top 'a' is already made by layer 'a'"):
        build(LOSS + ip("a", "x") + ip("b", "a") + layer("r", "ReLU", "a", "a"))
