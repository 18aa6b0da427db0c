"""Pruning while training, against training with masks set by hand."""

import numpy as np
import pytest
from net_helpers import LOSS, inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal
from solver_helpers import feed, make_param, make_solver

import minicaffe as caffe
from minicaffe.backend import to_numpy
from minicaffe.errors import SolverError

WIDE = "name: 'wide' " + inputs(x=(4, 6), label=(4,)) \
    + ip("a", "x", 4, more="param { lr_mult: 2 } param { lr_mult: 1 decay_mult: 0 }") \
    + layer("r", "ReLU", "a", "a") + ip("c", "a") + LOSS
OFF = np.kron(1 - np.eye(2), np.ones((2, 3))).astype(bool)     # of `a`, for two blocks (2, 3)
RULES = {"SGD": {"momentum": 0.75}, "Nesterov": {"momentum": 0.75}, "AdaDelta": {"momentum": 0.75},
         "Adam": {"momentum": 0.75, "base_lr": 0.01}, "AdaGrad": {}, "RMSProp": {"base_lr": 0.01}}


def blocks(name="a", **fields):
    """A pruning message: two blocks, iterations 2, 3, 4 and 5, an even share each."""
    return {"layer": [name], "num_blocks": 2, "start_iter": 2, "end_iter": 6, **fields}


def diagonal(w):
    return np.stack([w[:2, :3], w[2:, 3:]])


def arrays(solver):
    return [to_numpy(blob.data).copy() for blob in solver.net.learnable_params]


# ---- block diagonal

@pytest.mark.parametrize("rule", sorted(RULES))
def test_condensed_net_trains_as_a_dense_one_with_masked_weights(rule):
    options = dict(type=rule, weight_decay=0.01, lr_policy="exp", gamma=0.95, **RULES[rule])
    pruned = make_solver(WIDE, pruning=[blocks(alpha=0.05)], **options)
    pruned.step(12)
    dense = make_solver(WIDE, **options)
    w = dense.net.params["a"][0]

    def penalty():
        if 2 <= dense.iter < 6:
            w.diff += w.xp.sign(w.data) * w.xp.asarray(np.float32(0.05) * OFF)

    dense.add_callback(None, penalty)
    dense.step(2)
    for gone in 3, 6, 9, 12:                      # of the 12 entries off the blocks
        dense.step(1)
        smallest = np.sort(abs(w.data[OFF]))[gone - 1]
        w.mask = ~(OFF & (abs(w.data) <= smallest))
    dense.step(6)

    assert [layer.type for layer in pruned.net.layers][1] == "BlockInnerProduct"
    expected = arrays(dense)
    expected[0] = diagonal(expected[0])
    for mine, theirs in zip(arrays(pruned), expected):
        assert_allclose(mine, theirs, rtol=1e-10, atol=1e-13)
    for k, (mine, theirs) in enumerate(zip(pruned.history, dense.history)):
        theirs = to_numpy(theirs)
        theirs = diagonal(theirs.reshape(4, 6)).reshape(-1) if theirs.size == 24 else theirs
        assert_allclose(to_numpy(mine), theirs, rtol=1e-9, atol=1e-13, err_msg=f"history {k}")


def test_before_its_first_iteration_pruning_changes_nothing(xp):
    pruned, plain = make_solver(WIDE, pruning=[blocks(alpha=0.5)]), make_solver(WIDE)
    pruned.step(2)
    plain.step(2)
    for mine, theirs in zip(arrays(pruned), arrays(plain)):
        assert_array_equal(mine, theirs)
    pruned.step(1)
    plain.step(1)
    w = pruned.net.params["a"][0]
    assert (to_numpy(w.data) == 0).sum() == 3 and pruned.net.layer_dict["a"].type == "InnerProduct"
    assert not np.array_equal(arrays(pruned)[0], arrays(plain)[0])


def test_soft_steps_are_scaled_by_the_rate_of_the_layer():
    """With a loss of weight 0 nothing else moves them: |w| falls by rate * alpha an iteration."""
    source = WIDE.replace('type: "SoftmaxWithLoss"', 'type: "SoftmaxWithLoss" loss_weight: 0')
    solver = make_solver(source, base_lr=0.1, pruning=[blocks(alpha=0.02, schedule="SOFT")])
    before = arrays(solver)[0]
    solver.step(4)
    step = 2 * 0.1 * 2 * 0.02                     # iterations, base_lr, lr_mult, alpha
    shrunk = np.sign(before) * np.maximum(abs(before) - step, 0)
    assert_allclose(arrays(solver)[0], np.where(OFF, shrunk, before), rtol=1e-7)      # float32 rate


def test_test_nets_get_the_condensed_layer():
    param = make_param(WIDE, pruning=[blocks()], test_iter=[1], test_interval=100,
                       test_initialization=False)
    solver = feed(caffe.solver.solver_class("SGD")(param, dtype=np.float64))
    solver.step(7)
    test_net = solver.test_nets[0]
    assert test_net.layer_dict["a"].type == "BlockInnerProduct"
    solver.step(1)
    assert_array_equal(test_net.params["a"][0].data, solver.net.params["a"][0].data)
    x = np.random.default_rng(0).normal(size=(4, 6))
    for net in solver.net, test_net:
        net.blobs["x"].data = x
        net.forward(start="a", end="c")
    assert_array_equal(test_net.blobs["c"].data, solver.net.blobs["c"].data)


def test_masks_of_fillers_stay_in_the_blocks():
    solver = make_solver(WIDE, pruning=[blocks()])
    mask = np.ones((4, 6), bool)
    mask[0, 1] = mask[3, 0] = False
    solver.net.params["a"][0].mask = mask
    solver.step(8)
    w = solver.net.params["a"][0]
    assert_array_equal(w.mask, diagonal(mask))
    assert w.data[0, 0, 1] == 0


def test_two_layers_with_phases_of_their_own():
    source = WIDE.replace("num_output: 3", "num_output: 4")
    solver = make_solver(source, pruning=[blocks(), blocks("c", start_iter=3, end_iter=9)])
    solver.step(6)
    assert [solver.net.layer_dict[n].type for n in "ac"] == ["BlockInnerProduct", "InnerProduct"]
    solver.step(3)
    assert solver.net.layer_dict["c"].type == "BlockInnerProduct"
    assert [h.size for h in solver.history] == [12, 4, 8, 4]
    solver.step(2)


@pytest.mark.parametrize("filler, fields, factor", [
    ("gaussian", {}, 1), ("xavier", {}, 2 ** 0.5), ("xavier", {"weight_power": 0}, 1),
    ("gaussian", {"weight_power": 2}, 4)])
def test_blocks_begin_with_the_variance_their_filler_would_give_them(filler, fields, factor):
    source = WIDE.replace('weight_filler { type: "gaussian" }',
                          f'weight_filler {{ type: "{filler}" }}')
    solver, dense = make_solver(source, pruning=[blocks(schedule="AT_END", **fields)]), \
        make_solver(source)
    solver.step(6)
    dense.step(6)
    expected = arrays(dense)
    expected[0] = factor * diagonal(expected[0])
    for mine, theirs in zip(arrays(solver), expected):
        assert_allclose(mine, theirs, rtol=1e-12)
    history = to_numpy(dense.history[0]).reshape(4, 6)
    assert_allclose(to_numpy(solver.history[0]), diagonal(history).ravel(), rtol=1e-12)


def test_the_blocks_learn_faster_once_condensed():
    solver = make_solver(WIDE, pruning=[blocks(lr_power=2)])
    solver.step(5)
    assert solver.net.params_lr == [2, 1, 1, 1]
    solver.step(1)
    assert solver.net.params_lr == [8, 1, 1, 1]


# ---- masks

@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("method, target, left", [("MAGNITUDE", 5, 5), ("NODE", 2, 12)])
def test_removed_weights_stay_zero_under_every_rule(rule, method, target, left):
    message = {"layer": ["a"], "method": method, "target": target, "start_iter": 1, "end_iter": 4,
               "alpha": 0.1}
    solver = make_solver(WIDE, type=rule, weight_decay=0.1, pruning=[message], **RULES[rule])
    solver.step(4)
    after = arrays(solver)[0]
    assert (after != 0).sum() == left
    solver.step(5)
    w = arrays(solver)[0]
    assert_array_equal(w != 0, after != 0)
    assert not np.array_equal(w, after)
    if method == "NODE":
        assert_array_equal(arrays(solver)[1] != 0, (w != 0).any(axis=1))


# ---- what doesn't fit

@pytest.mark.parametrize("message, problem", [
    (blocks("z"), "no layer 'z'"),
    (blocks("r"), "'r' is of type ReLU: OFF_DIAGONAL prunes InnerProduct$"),
    (blocks("r", method="NODE"), "'r' is of type ReLU: NODE prunes InnerProduct and Convolution"),
    (blocks(num_blocks=5), "'a': num_output 4 is not a multiple of num_blocks 5"),
    (blocks(start_iter=7), "'a': it must begin .*: start_iter is 7, end_iter 6"),
    (blocks(end_iter=2, alpha=0.5), "alpha 0.5 needs iterations to act in"),
    (blocks(start_iter=-1), "start_iter is -1"),
    (blocks(alpha=-1), "alpha must be a number from 0 on, not -1"),
    (blocks(alpha=float("nan")), "from 0 on, not nan"),
    (blocks(weight_power=float("nan")), "weight_power must be a finite number, not nan"),
    (blocks(lr_power=float("inf")), "lr_power must be a finite number, not inf"),
    (blocks(layer=[]), "which layer"),
    ({"layer": ["a", "a"], "num_blocks": 2, "end_iter": 3}, "'a' is given twice"),
])
def test_messages_that_do_not_fit(message, problem):
    with pytest.raises(SolverError, match=problem):
        make_solver(WIDE, pruning=[message])


@pytest.mark.parametrize("method", [{}, {"method": "MAGNITUDE", "num_blocks": None, "target": 5}])
def test_the_penalty_is_the_same_whatever_iter_size(method):
    weights = []
    for iter_size in 1, 4:
        fields = {"alpha": 0.3, "start_iter": 0, "schedule": "AT_END", **method}
        message = {name: value for name, value in blocks(**fields).items() if value is not None}
        solver = make_solver(WIDE, iter_size=iter_size, pruning=[message])
        first, data = solver.net.layers[0].forward, solver.net.layers[0]

        def forward(bottom, top, forward=first, solver=solver):
            solver.passes = 0                         # the same batch in every pass
            forward(bottom, top)

        data.forward = forward
        solver.step(2)
        weights.append(arrays(solver)[0])
    assert_allclose(*weights, rtol=1e-10)


def test_a_layer_that_cannot_be_condensed_at_the_end_is_refused_at_the_start():
    shared = "param { name: 'w' }"
    source = "name: 'tied' " + inputs(x=(4, 6), label=(4,)) + ip("a", "x", 6, more=shared) \
        + ip("b", "a", 6, more=shared) + ip("c", "b") + LOSS
    with pytest.raises(SolverError, match="'a' can't be replaced: it shares .* 'w' with layer 'b'"):
        make_solver(source, pruning=[blocks("a")])
    make_solver(source, pruning=[blocks("a", method="MAGNITUDE", num_blocks=None, target=3)])


@pytest.mark.parametrize("max_iter, said", [(0, False), (5, True), (6, False)])
def test_a_phase_longer_than_the_training_is_warned_of(max_iter, said, caplog):
    make_solver(WIDE, pruning=[blocks()], max_iter=max_iter)
    warned = "Pruning of layer a ends after iteration 6: at max_iter 5 it will not be complete"
    assert (warned in caplog.text) == said


def test_the_sharing_layer_is_not_the_one_to_prune():
    shared = "param { name: 'w' }"
    source = "name: 'tied' " + inputs(x=(4, 6), label=(4,)) + ip("a", "x", 6, more=shared) \
        + ip("b", "a", 6, more=shared) + ip("c", "b") + LOSS
    with pytest.raises(SolverError, match="'b': its weights are another layer's"):
        make_solver(source, pruning=[blocks("b", method="MAGNITUDE", num_blocks=None, target=3)])
