"""Reachability against a search for paths, node by node."""

import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer

from minicaffe.analysis.isometry import jacobian
from minicaffe.analysis.reachability import layer_mask, product, reachability
from minicaffe.errors import Error, NetError
from minicaffe.structured import ramanujan

pytestmark = pytest.mark.usefixtures("blobs_on_the_host")


def by_paths(masks):
    """The same by following every edge from every input."""
    found = np.zeros((masks[0].shape[1], masks[-1].shape[0]), bool)
    for p in range(len(found)):
        reached = {p}
        for mask in masks:
            reached = {q for q in range(len(mask)) if any(mask[q, node] for node in reached)}
        found[p, list(reached)] = True
    return found


def block(name, bottom, shuffle="NONE", fields="num_output: 12 num_blocks: 3"):
    return layer(name, "BlockInnerProduct", bottom, more=f"""block_inner_product_param {{ {fields}
        shuffle: {shuffle} weight_filler {{ type: "gaussian" }} }}""")


@pytest.mark.parametrize("widths", [(8, 6, 10), (5, 5, 5, 5), (3, 20, 4), (7, 9)])
def test_product(widths):
    rng = np.random.default_rng(0)
    masks = [rng.random((m, n)) < 0.25 for n, m in zip(widths, widths[1:])]
    found = product(masks)
    assert found.dtype == bool and 0 < found.mean() < 1
    assert (found == by_paths(masks)).all()
    assert (product([mask * -3.5 for mask in masks]) == found).all()          # any nonzeros


def test_many_layers_dont_overflow():
    halves = np.kron(np.eye(2), np.ones((15, 15)))
    assert (product([halves] * 200) == halves).all()
    shift = np.roll(np.eye(30), 1, axis=0)                 # input p to output p + 1
    assert (product([shift] * 31) == shift.T).all()


def test_of_a_net(xp):
    source = inputs(x=(2, 3, 2, 2)) + ip("a", "x", 10) + layer("r", "ReLU", "a", "a") \
        + layer("d", "Dropout", "a", "d") + block("b", "d", fields="""
            block_input_dim: [4, 6] block_output_dim: [3, 9]""") + ip("c", "b", 7) \
        + layer("t", "TanH", "c", "c") + ip("y", "c", 4)
    source = source.replace("num_output: 7", "num_output: 7 transpose: true")
    net, rng = build(source), np.random.default_rng(1)
    net.params["a"][0].mask = rng.random((10, 12)) < 0.15
    net.params["c"][0].mask = rng.random(net.params["c"][0].shape) < 0.2
    net.params["b"][0].mask = rng.random(4 * 3 + 6 * 9) < 0.4
    dense = [net.params[name][0].data for name in "abcy"]
    B = np.zeros((12, 10))
    B[:3, :4], B[3:, 4:] = dense[1][:12].reshape(3, 4), dense[1][12:].reshape(9, 6)
    masks = [dense[0] != 0, B != 0, dense[2].T != 0, dense[3] != 0]
    for first, last in (0, 3), (1, 3), (0, 1), (2, 2):
        found = reachability(net, "abcy"[first], "abcy"[last])
        assert (found == by_paths(masks[first:last + 1])).all()
    assert 0 < reachability(net, "a", "c").mean() < 1


@pytest.mark.parametrize("shuffle", ["NONE", "CHANNELS", "FIXED_BLOCKS"])
def test_shuffled_blocks(xp, shuffle):
    """What an input changes is what it reaches."""
    net = build(inputs(x=(2, 12)) + block("b", "x", shuffle))
    expected = np.empty((12, 12), bool)
    x, before = net.blobs["x"].data.copy(), net.forward()["b"][0].copy()
    for p in range(12):
        net.blobs["x"].data[0, p] += 1
        expected[p] = net.forward()["b"][0] != before
        net.blobs["x"].data[...] = x
    net.forward()
    net.blobs["b"].diff[...] = 1
    assert (reachability(net, "b", "b") == expected).all()
    net.layers[1].backward([net.blobs["b"]], [True], [net.blobs["x"]])
    first = net.params["b"][0].diff.copy()
    net.clear_param_diffs()
    net.forward()
    net.layers[1].backward([net.blobs["b"]], [True], [net.blobs["x"]])
    assert (net.params["b"][0].diff == first).all()        # the kept input is as it was


@pytest.mark.parametrize("fields", [
    'num_output: 6 weight_filler { type: "sao" degree: 6 }',
    'num_output: 24 weight_filler { type: "sao" degree: 6 }',
    'num_output: 12 permute_input: false weight_filler { type: "sao" degree: 3 }',
    'num_output: 4 weight_filler { type: "sao" degree: 5 crop: true }'])
def test_sparse_orthogonal_layer(xp, fields):
    """Its Jacobian's nonzeros."""
    net = build(inputs(x=(2, 12)) + layer("s", "SparseOrthogonalInnerProduct", "x", more=f"""
        sparse_orthogonal_inner_product_param {{ {fields} }}"""))
    found = reachability(net, "s", "s")
    assert (found == (jacobian(net, "s", "x").T != 0)).all() and 0 < found.mean() < 1


def conv(name, bottom, outputs, more=""):
    return layer(name, "Convolution", bottom, more=f"""convolution_param {{ num_output: {outputs}
        kernel_size: 3 pad: 1 weight_filler {{ type: "gaussian" }} {more} }}""")


def test_convolutions_sums_and_concatenations(xp):
    """The nonzeros of a Jacobian, summed up over the places of each channel."""
    pool = "pooling_param { kernel_size: 2 stride: 2 pool: AVE }"
    net = build(inputs(x=(1, 6, 4, 4)) + conv("a", "x", 8, "group: 2")
                + layer("r", "TanH", "a", "a") + conv("b", "a", 5) + conv("c", "b", 5)
                + layer("e", "Eltwise", "b c") + conv("other", "x", 3)
                + layer("k", "Concat", "e other a") + layer("p", "Pooling", "k", more=pool)
                + ip("y", "p", 7))
    rng = np.random.default_rng(0)
    for name, share in ("a", 0.5), ("b", 0.2), ("c", 0.2), ("y", 0.02):
        blob = net.params[name][0]
        kernels = rng.random(blob.shape if name == "y" else blob.shape[:2] + (1, 1)) < share
        blob.mask = np.broadcast_to(kernels, blob.shape).copy()
    net.params["other"][0].data[...] = 0             # paths that don't begin in a
    J = jacobian(net, "y", "x").reshape(7, 6, 16)
    found = reachability(net, "a", "y")
    assert (found == (J != 0).any(axis=2).T).all() and 0 < found.mean() < 1
    a = net.layer_dict["a"]
    assert (layer_mask(a) == by_groups(net.params["a"][0].mask)).all()


@pytest.mark.parametrize("order", ["f y", "y f"])
def test_a_sum_of_channels_and_units(order):
    net = build(inputs(x=(1, 3, 2, 2)) + layer("f", "Flatten", "x") + conv("a", "x", 3)
                + layer("g", "Flatten", "a") + ip("y", "g", 12)
                + layer("e", "Eltwise", order.replace("f", "g")) + ip("z", "e", 2))
    kernels = np.zeros((3, 3, 3, 3), bool)
    kernels[0, 1] = True                                  # of the channels x_1 reaches a_0 alone
    net.params["a"][0].mask = kernels
    net.params["y"][0].mask = np.zeros((12, 12), bool)
    assert (reachability(net, "a", "e")[1] == (np.arange(12) < 4)).all()
    assert not reachability(net, "a", "e")[[0, 2]].any()


def test_inputs_along_the_last_axis():
    net = build(inputs(x=(2, 3, 5)) + ip("a", "x", 4).replace("output: 4", "output: 4 axis: 2")
                + layer("r", "ReLU", "a")
                + ip("b", "r", 6).replace("output: 6", "output: 6 axis: -1")
                + ip("c", "r", 2) + layer("k", "Concat", "a b", more="concat_param { axis: -1 }")
                + layer("m", "Concat", "a a", more="concat_param { concat_dim: 0 }"))
    net.params["a"][0].mask = np.arange(20).reshape(4, 5) % 3 > 0
    net.params["b"][0].mask = np.eye(6, 4, dtype=bool)
    A, B = net.params["a"][0].mask, net.params["b"][0].mask
    assert (reachability(net, "a", "b") == by_paths([A, B])).all()
    assert (reachability(net, "a", "k") == np.hstack([A.T, by_paths([A, B])])).all()
    with pytest.raises(NetError, match="layer 'c' takes its inputs from axis 1 on, but .* axis 2"):
        reachability(net, "a", "c")
    with pytest.raises(NetError, match="layer 'm' of type Concat has 2 bottoms"):
        reachability(net, "a", "m")


def by_groups(mask):
    """Of 8 filters in two groups, on 6 channels."""
    whole = np.zeros((8, 6), bool)
    whole[:4, :3], whole[4:, 3:] = mask[:4].any(axis=(2, 3)), mask[4:].any(axis=(2, 3))
    return whole


def test_ramanujan_layers_reach_everything():
    """Degree 4 at width 64 = 4^3: not before the third layer."""
    rng = np.random.default_rng(0)
    masks = [ramanujan.structure(64, 64, 4, rng).mask() for _ in range(7)]
    shares = [product(masks[:n]).mean() for n in range(1, 8)]
    assert shares[0] == 4 / 64 and shares[1] <= 16 / 64 and shares[-1] == 1
    assert shares == sorted(shares)


def test_errors():
    with pytest.raises(Error, match="a layer of 4 outputs can't be followed by one of 5 inputs"):
        product([np.ones((4, 3)), np.ones((2, 5))])
    net = build(inputs(x=(2, 12), z=(5,)) + ip("a", "x", 5) + layer("n", "Softmax", "a")
                + ip("b", "n") + layer("s", "Scale", "a z") + ip("c", "s")
                + block("d", "x", "BLOCKS")
                + layer("silence", "Silence", "b").replace('top: "silence"', ""))
    for first, last, message in (
            ("a", "b", "layer 'n' of type Softmax mixes its inputs otherwise"),
            ("a", "c", "layer 's' of type Scale has 2 bottoms"),
            ("c", "a", "no path leads from layer 'c' to layer 'a'"),
            ("a", "d", "no path leads from layer 'a' to layer 'd'"),
            ("d", "silence", "no path leads from layer 'd' to layer 'silence'"),
            ("nothing", "a", "the net has no layer 'nothing'"),
            ("a", "nothing", "the net has no layer 'nothing'"),
            ("d", "d", "layer 'd' draws the order of its inputs anew in each pass")):
        with pytest.raises(NetError, match=message):
            reachability(net, first, last)
    assert layer_mask(net.layer_dict["a"]).all()
