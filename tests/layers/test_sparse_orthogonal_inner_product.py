"""The fast form of sparse orthogonal layers: equal to the dense, masked matrix in all it does."""

import tracemalloc

import numpy as np
import pytest
from helpers import backward_once, check_gradient, check_only_what_is_asked, make_layer
from net_helpers import LOSS, build, file_of, inputs, ip, layer as layer_text
from numpy.testing import assert_allclose, assert_array_equal
from solver_helpers import make_solver

import minicaffe as caffe
from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError, WeightsError
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2
from minicaffe.structured.block_diagonal import from_dense, to_dense

TYPE = "SparseOrthogonalInnerProduct"
SAO = {"num_output": 12, "weight_filler": {"type": "sao", "degree": 6}}        # 2 blocks of 6 x 3
UNEQUAL = {"block_input_dim": [1, 2, 2, 1], "block_output_dim": [3, 1, 1, 2]}
CROPPED = {"num_output": 4, "weight_filler": {"type": "sao", "degree": 4, "crop": True}}
SIDES = [(True, True), (True, False), (False, True), (False, False)]


def orders(layer):
    """(rows, columns) as whole numbers: those of its blobs, or 0, 1, 2 ..."""
    values = [to_numpy(blob.data).astype(int) for blob in layer.blobs[layer.learnt:]]
    columns = values.pop(0) if layer.param.permute_input else np.arange(layer.layout.shape[1])
    rows = values.pop(0) if layer.param.permute_output else np.arange(layer.layout.shape[0])
    return rows, columns


def dense_weights(layer):
    """W (N, K), from the blobs and the sizes of the blocks."""
    rows, columns = orders(layer)
    W = np.zeros(layer.layout.shape, layer.dtype)
    W[np.ix_(rows, columns)] = to_dense(to_numpy(layer.blobs[0].data), layer.layout)
    return W


def make(shape, shuffled=True, **fields):
    """A layer as make_layer has it, its orders drawn anew; sizes of blocks as set up."""
    layer, bottom, top = make_layer(TYPE, shape, **fields)
    rng = np.random.default_rng(5)
    for blob in layer.blobs[layer.learnt:]:
        if blob.num_axes == 1:
            blob.data = rng.permutation(blob.size)
        else:
            blob.data = np.transpose([layer.layout.outputs, layer.layout.inputs])
    layer.values_changed()
    return layer, bottom, top


@pytest.mark.parametrize("shape, axis", [((4, 6), 1), ((3, 1, 2, 3), 1), ((2, 3, 6), -1),
                                         ((6,), 0)])
@pytest.mark.parametrize("fields", [SAO, UNEQUAL, CROPPED])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("bias_term", [True, False])
class TestSparseOrthogonalInnerProduct:
    def make(self, shape, axis, fields, sides, bias_term, xp):
        names = dict(zip(("permute_input", "permute_output"), sides))
        return make(shape, xp=xp, axis=axis, bias_term=bias_term, **names, **fields)

    def test_forward_and_backward_equal_the_dense_matrix(self, xp, shape, axis, fields, sides,
                                                         bias_term):
        layer, bottom, top = self.make(shape, axis, fields, sides, bias_term, xp)
        dx, dw, *rest = backward_once(layer, bottom, top)
        (rows, columns), W = orders(layer), dense_weights(layer)
        N, K = W.shape
        x, dy = to_numpy(bottom[0].data).reshape(-1, K), to_numpy(top[0].diff).reshape(-1, N)
        y = x @ W.T + (to_numpy(layer.blobs[1].data) if bias_term else 0)
        assert top[0].shape == shape[:axis] + (N,)
        assert_allclose(to_numpy(top[0].data).reshape(-1, N), y, rtol=1e-12, atol=1e-13)
        assert_allclose(dx.reshape(x.shape), dy @ W, rtol=1e-12, atol=1e-13)
        dense = (dy.T @ x)[np.ix_(rows, columns)]
        assert_allclose(dw.ravel(), from_dense(dense, layer.layout), rtol=1e-12, atol=1e-13)
        if bias_term:
            assert_allclose(rest.pop(0), dy.sum(axis=0), rtol=1e-12)
        assert len(rest) == sum(sides) + (fields is CROPPED) and not any(d.any() for d in rest)

    def test_gradient(self, xp, shape, axis, fields, sides, bias_term):
        layer, bottom, top = self.make(shape, axis, fields, sides, bias_term, xp)
        assert len(check_gradient(layer, bottom, top)) == 2 + bias_term      # orders don't learn


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("propagate_down", [True, False])
def test_only_what_is_asked_for_is_computed(xp, flags, propagate_down, sides):
    layer, bottom, top = make((4, 6), xp=xp, permute_input=sides[0], permute_output=sides[1], **SAO)
    check_only_what_is_asked(layer, bottom, top, (*flags, *(False,) * sum(sides)), propagate_down)


def test_parameter_diffs_add_up_and_bottom_diffs_do_not(xp):
    layer, bottom, top = make((4, 6), xp=xp, **SAO)
    first, second = [backward_once(layer, bottom, top) for _ in range(2)]
    for once, twice, factor in zip(first, second, (1, 2, 2)):
        assert_allclose(twice, factor * once, rtol=1e-12)


def test_a_second_backward_pass_finds_the_inputs_as_they_were(xp):
    layer, bottom, top = make((4, 6), xp=xp, **SAO)
    dw = backward_once(layer, bottom, top)[1]
    layer.backward(top, [True], bottom)
    assert_allclose(to_numpy(layer.blobs[0].diff), 2 * dw, rtol=1e-12)


def test_batch_may_change_its_size(xp):
    layer, bottom, top = make((4, 6), xp=xp, **SAO)
    layer.forward(bottom, top)
    for shape in ((2, 6), (9, 3, 2), (0, 6)):
        bottom[0].reshape(shape)
        bottom[0].data[...] = np.random.default_rng(1).normal(size=shape)
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        assert top[0].shape == (shape[0], 12)
        if shape[0]:
            check_gradient(layer, bottom, top)


@pytest.mark.parametrize("N, K, degree", [(1800, 1200, 45), (1024, 2048, 32)])
def test_large_batches(xp, N, K, degree):
    """Several pieces and threads a permutation; rows padded in the second case."""
    layer, bottom, top = make((130, K), xp=xp, num_output=N,
                              weight_filler={"type": "sao", "degree": degree})
    dx, dw, _, *_ = backward_once(layer, bottom, top)
    (rows, columns), W = orders(layer), dense_weights(layer)
    x, dy = to_numpy(bottom[0].data), to_numpy(top[0].diff)
    y = x @ W.T + to_numpy(layer.blobs[1].data)
    assert_allclose(to_numpy(top[0].data), y, rtol=1e-10, atol=1e-10)
    assert_allclose(dx, dy @ W, rtol=1e-10, atol=1e-10)
    dense = (dy.T @ x)[np.ix_(rows, columns)]
    assert_allclose(dw.ravel(), from_dense(dense, layer.layout), rtol=1e-10, atol=1e-10)


# ---- what the fillers give

def set_up(type_name, K, seed=3, message=None, **fields):
    """A layer of one bottom (2, K) as set up, with nothing overwritten."""
    cls = layer_class(type_name)
    param = caffe_pb2.LayerParameter(name="ip", type=type_name, **{cls.message: fields})
    layer = cls(param, "TRAIN", np.float64, np.random.default_rng(seed))
    bottom = caffe.Blob((2, K), np.float64)
    layer.set_up([bottom], [caffe.Blob((), np.float64)])
    return layer


@pytest.mark.parametrize("N, K, filler", [
    (12, 6, {"type": "sao", "degree": 6}),
    (6, 12, {"type": "sao", "degree": 4, "variant": 1, "gain": 1.1}),
    (8, 8, {"type": "sao", "sparsity": 0.5, "variant": 2}),
    (8, 16, {"type": "sao", "degree": 4, "relu": True}),
    (8, 8, {"type": "ramanujan", "degree": 2, "values": "NORMAL"}),
    (4, 11, {"type": "sao", "degree": 6, "crop": True})])
def test_the_weights_are_those_of_a_dense_layer_from_the_same_seed(xp, N, K, filler):
    fields = dict(num_output=N, weight_filler=filler, bias_filler={"type": "uniform"})
    sparse, dense = set_up(TYPE, K, **fields), set_up("InnerProduct", K, **fields)
    assert_array_equal(dense_weights(sparse), to_numpy(dense.blobs[0].data))
    assert_array_equal(to_numpy(sparse.blobs[1].data), to_numpy(dense.blobs[1].data))
    assert sparse.blobs[0].size == to_numpy(dense.blobs[0].mask).sum()
    assert sparse.blobs[0].mask is None
    assert sparse.blobs[0].num_axes == (1 if "crop" in filler else 3)


def test_no_dense_matrix_is_ever_made():
    tracemalloc.start()
    try:
        layer = set_up(TYPE, 8192, num_output=8192, weight_filler={"type": "sao", "degree": 4})
        assert tracemalloc.get_traced_memory()[1] < 8192**2 / 8         # bytes: one bit an entry
    finally:
        tracemalloc.stop()
    assert layer.blobs[0].shape == (2048, 4, 4)


def test_any_filler_fills_blocks_of_given_sizes(xp):
    layer = set_up(TYPE, 6, weight_filler={"type": "orthogonal"}, **UNEQUAL)
    W = dense_weights(layer)
    for block in layer.layout.diagonal(W):
        assert_allclose(np.linalg.svd(block)[1], 1)
    assert np.count_nonzero(W) == layer.blobs[0].size


# ---- errors

@pytest.mark.parametrize("fields, message", [
    ({"weight_filler": {"type": "sao", "degree": 3}}, "num_output 0 is not between 1 and 16777215"),
    ({"num_output": 12, "weight_filler": {"type": "sao", "degree": 5}}, "degree 5 does not fit"),
    ({"num_output": 12}, "filler 'constant': unknown sparse filler type 'constant': known are "
                         "ramanujan, sao"),
    ({"block_input_dim": [3, 4], "block_output_dim": [3, 2]}, "adds up to 7, the bottom size is 6"),
    ({"block_input_dim": [3, 3]}, "num_output 0"),
    ({"num_output": 6, **UNEQUAL}, "num_output 6 is not that of block_output_dim: 7")])
def test_sizes_that_do_not_fit(fields, message):
    with pytest.raises(LayerError, match=f"'layer' .{TYPE}.: .*{message}"):
        make_layer(TYPE, (4, 6), **fields)


def test_another_bottom_size():
    layer, bottom, top = make((4, 6), **SAO)
    bottom[0].reshape(4, 8)
    with pytest.raises(LayerError, match=r"bottom size 8 does not fit weights \(2, 6, 3\)"):
        layer.reshape(bottom, top)


@pytest.mark.parametrize("index", [2, 3])
def test_orders_do_not_learn(index):
    specs = [{"lr_mult": int(i < 2)} for i in range(index)] + [{"lr_mult": 2}]
    with pytest.raises(LayerError, match=f"param {index} has lr_mult 2: these are orders"):
        make_layer(TYPE, (4, 6), also={"param": specs}, **SAO)
    layer, _, _ = make_layer(TYPE, (4, 6), also={"param": [{"lr_mult": 3}]}, **SAO)
    assert [spec.lr_mult for spec in layer.layer_param.param] == [3, 1, 0, 0]


# ---- whole nets: weights files, training

def net_text(type_name, filler="type: 'sao' degree: 6 variant: 3", more=""):
    message = layer_class(type_name).message
    return "name: 'sparse' " + inputs(x=(4, 6), label=(4,)) + layer_text(
        "a", type_name, "x", more=f"""{message} {{ num_output: 12 weight_filler {{ {filler} }}
        bias_filler {{ type: 'gaussian' }} {more} }} param {{ lr_mult: 2 }}""") \
        + layer_text("r", "ReLU", "a", "a") + ip("c", "a") + LOSS


@pytest.mark.parametrize("suffix", ["", ".h5"])
@pytest.mark.parametrize("filler", ["type: 'sao' degree: 6", "type: 'sao' degree: 5 crop: true"])
def test_a_weights_file_brings_its_orders(tmp_path, suffix, filler):
    source = net_text(TYPE, filler)
    net, other = build(source, seed=1), build(source, seed=2)
    path = str(tmp_path / f"net.caffemodel{suffix}")
    (net.save_hdf5 if suffix else net.save)(path)
    W = dense_weights(net.layer_dict["a"])
    assert ((dense_weights(other.layer_dict["a"]) != 0) != (W != 0)).any()
    other.copy_from(path)
    x = other.blobs["x"].data = net.blobs["x"].data
    other.forward(end="a")
    y = x @ W.T + net.params["a"][1].data
    assert_allclose(other.blobs["a"].data, y, rtol=1e-12, atol=1e-13)
    assert_array_equal(dense_weights(other.layer_dict["a"]), W)


def test_a_net_that_shares_weights_has_their_orders():
    source = net_text(TYPE)
    net, other = build(source, seed=1), build(source, seed=2)
    other.share_with(net)
    other.blobs["x"].data, other.blobs["label"].data = net.blobs["x"].data, net.blobs["label"].data
    net.forward()
    other.forward()
    assert other.total_loss == net.total_loss
    saved = build(source, seed=3)
    saved.copy_from(_stored(net))
    saved.blobs["x"].data = net.blobs["x"].data
    saved.forward()
    assert saved.total_loss == net.total_loss


@pytest.mark.parametrize("shared", [1, 0])
def test_nets_that_share_weights_have_the_orders_of_a_file(shared):
    """Which of the two reads the file makes no difference."""
    source = net_text(TYPE)
    nets, saved = [build(source, seed=seed) for seed in (1, 2)], build(source, seed=3)
    nets[1].share_with(nets[0])
    nets[shared].copy_from(_stored(saved))
    for net in (*nets, saved):
        net.blobs["x"].data, net.blobs["label"].data = saved.blobs["x"].data, \
            saved.blobs["label"].data
        net.forward()
    assert nets[0].total_loss == nets[1].total_loss == saved.total_loss


def _stored(net):
    from minicaffe.net.copying import net_to_proto
    return net_to_proto(net)


def test_orders_shared_by_name():
    """Layers whose parameters are shared by their names are one matrix."""
    shared = " ".join(f"param {{ name: '{name}' {lr} }}" for name, lr in
                      (("w", ""), ("c", ""), ("columns", "lr_mult: 0"), ("rows", "lr_mult: 0")))
    fields = """sparse_orthogonal_inner_product_param { num_output: 6
                weight_filler { type: 'sao' degree: 2 } } """ + shared
    net_source = "name: 'tied' " + inputs(x=(4, 6)) + layer_text("a", TYPE, "x", more=fields) \
        + layer_text("b", TYPE, "x", more=fields)
    net = build(net_source)
    for seed in None, 2:
        if seed:
            net.copy_from(_stored(build(net_source, seed=seed)))
        net.forward()
        assert_array_equal(net.blobs["a"].data, net.blobs["b"].data)
        assert net.blobs["a"].data.any()


@pytest.mark.parametrize("index", [2, 3])
def test_an_order_written_by_hand(index):
    """It takes effect when the layer is told, if it is one."""
    net = build(net_text(TYPE))
    layer, blob = net.layer_dict["a"], net.params["a"][index]
    blob.data = np.roll(blob.data, 1)
    layer.values_changed()
    net.forward(end="a")
    y = net.blobs["x"].data @ dense_weights(layer).T + net.params["a"][1].data
    assert_allclose(net.blobs["a"].data, y, rtol=1e-12, atol=1e-13)
    blob.data[0] = blob.data[1]
    with pytest.raises(LayerError, match=f"'a' .*blob {index}, the order of its"):
        layer.values_changed()


@pytest.mark.parametrize("values, message", [
    ({2: [0, 1, 2, 3, 4, 4]}, "layer 'a' .*blob 2, the order of its inputs, is no permutation of 0 "
                              "to 5"),
    ({3: [0.5, *range(1, 12)]}, "blob 3, the order of its outputs, is no permutation of 0 to 11"),
    ({3: [np.nan, *range(1, 12)]}, "blob 3, the order of its outputs")])
def test_an_order_that_is_none_leaves_the_net_as_it_was(values, message):
    net = build(net_text(TYPE))
    stored = _stored(build(net_text(TYPE), seed=2))
    layer, = [layer for layer in stored.layer if layer.name == "a"]
    for i, array in values.items():
        layer.blobs[i].double_data[:] = array
    before = dense_weights(net.layer_dict["a"])
    with pytest.raises(WeightsError, match=message):
        net.copy_from(stored)
    assert_array_equal(dense_weights(net.layer_dict["a"]), before)
    net.layer_dict["a"].values_changed()


@pytest.mark.parametrize("sizes", [[[6, 3]] * 2, [[6, 3], [0, 4], [6, 4]], [[np.nan, 1]] * 3,
                                   [[6.5, 3], [5.5, 3], [0, 0]]])
def test_sizes_of_blocks_that_fit_nothing(sizes):
    layer, _, _ = make((4, 8), num_output=6,
                       weight_filler={"type": "sao", "degree": 3, "crop": True})
    assert layer.blobs[-1].shape == (3, 2)
    with pytest.raises(LayerError, match=r"blob 4 does not hold the sizes of blocks of 16 weights"):
        layer.check_values({4: np.array(sizes)})
    layer.check_values({4: np.array([[3, 2], [2, 4], [1, 2]])})       # 16 weights too, a 1 in them


@pytest.mark.parametrize("fields", [
    dict(type="SGD", momentum=0.9, weight_decay=0.01, base_lr=0.1),
    dict(type="Adam", momentum=0.9, weight_decay=0.01, base_lr=0.01),
    dict(type="Adam", momentum=0.9, weight_decay=0.1, base_lr=0.01, decoupled_weight_decay=True)])
def test_training_equals_that_of_the_masked_dense_layer(fields):
    solvers = [make_solver(net_text(name), **fields) for name in (TYPE, "InnerProduct")]
    before = dense_weights(solvers[0].net.layer_dict["a"])
    order = [to_numpy(blob.data).copy() for blob in solvers[0].net.params["a"][2:]]
    for solver in solvers:
        solver.step(6)
    sparse, dense = (solver.net.params["a"] for solver in solvers)
    W = dense_weights(solvers[0].net.layer_dict["a"])
    assert abs(W - before).max() > 1e-3
    assert_allclose(W, dense[0].data, rtol=1e-10, atol=1e-13)
    assert_allclose(sparse[1].data, dense[1].data, rtol=1e-10, atol=1e-13)
    for blob, values in zip(sparse[2:], order):
        assert_array_equal(blob.data, values)


def test_snapshots_hold_orders_and_masks_of_single_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = net_text(TYPE)
    fields = dict(momentum=0.9, snapshot_prefix=str(tmp_path / "s"), base_lr=0.1)
    straight, stopped = make_solver(source, **fields), make_solver(source, **fields)
    mask = np.arange(36).reshape(2, 6, 3) % 5 > 0
    for solver in straight, stopped:
        solver.net.params["a"][0].mask = mask
    straight.step(6)
    stopped.step(3)
    stopped.snapshot()
    resumed = make_solver(source, **{**fields, "random_seed": 9})
    resumed.restore(str(tmp_path / "s_iter_3.solverstate"))
    resumed.passes = 3
    resumed.step(3)
    for ours, theirs in zip(resumed.net.params["a"], straight.net.params["a"]):
        assert_array_equal(ours.data, theirs.data)
    assert_array_equal(resumed.net.params["a"][0].mask, mask)
    assert not resumed.net.params["a"][0].data[~mask].any()
    path = file_of(tmp_path, source)
    net = caffe.Net(path, caffe.TEST, weights=str(tmp_path / "s_iter_3.caffemodel"))
    assert_array_equal(net.params["a"][3].data, straight.net.params["a"][3].data)
    straight.close(), stopped.close(), resumed.close()


@pytest.mark.parametrize("fields", [SAO, UNEQUAL])
@pytest.mark.parametrize("sides", SIDES)
def test_what_is_asked_of_the_device(request, xp, fields, sides):
    if "stand-in" not in request.node.name:
        pytest.skip("only the stand-in counts")
    from stand_in.state import counts
    layer, bottom, top = make((4, 6), xp=xp, dtype=np.float32, permute_input=sides[0],
                              permute_output=sides[1], **fields)
    for _ in range(2):                                   # the first pass makes buffers
        counts.reset()
        layer.forward(bottom, top)
        layer.backward(top, [True], bottom)
    assert not (counts.synchronisations or counts.to_device or counts.to_host)
    # products, bias and its gradient, and each permutation forward and backward
    assert counts.launches == 3 * len(layer.layout.groups) + 2 + 2 * sum(sides)
