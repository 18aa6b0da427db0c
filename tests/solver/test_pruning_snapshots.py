"""Snapshots of a run that prunes: the same bits from every phase, and the condensed net's files."""

import os

import numpy as np
import pytest
from net_helpers import ip, layer
from numpy.testing import assert_array_equal
from solver_helpers import make_param

import minicaffe as caffe
from minicaffe.backend import to_numpy
from minicaffe.errors import SolverError, WeightsError
from minicaffe.proto import weights

DATA = layer("data", "Data", top="x label", more="""
    transform_param { scale: 0.01 }
    data_param { backend: NPZ source: "set.npz" batch_size: 5 shuffle: true }""")
NET = "name: 'pruned' " + DATA + ip("a", "x", 6, more="param { lr_mult: 1 } param { lr_mult: 2 }") \
    + layer("r", "ReLU", "a", "a") + layer("d", "Dropout", "a", "a") + ip("c", "a") \
    + layer("loss", "SoftmaxWithLoss", "c label")
MESSAGES = {
    "OFF_DIAGONAL": {"num_blocks": 2, "alpha": 0.01, "weight_power": 0.5, "lr_power": 0.5},
    "CROSSING": {"num_blocks": 2, "alpha": 0.3, "schedule": "CROSSING"},
    "SOFT": {"num_blocks": 2, "alpha": 0.3, "schedule": "SOFT"},
    "UNEQUAL": {"block_input_dim": [3, 5], "block_output_dim": [4, 2], "alpha": 0.01},
    "MAGNITUDE": {"method": "MAGNITUDE", "target": 10, "alpha": 0.01},
    "NODE": {"method": "NODE", "target": 2},
    "RANDOM": {"method": "RANDOM", "sparsity": 0.75, "schedule": "CUBIC"},
    "RAMANUJAN": {"method": "RAMANUJAN", "degree": 4, "alpha": 0.01},
    "GLOBAL": {"method": "MAGNITUDE", "sparsity": 0.75, "scope": "GLOBAL", "layer": []},
}
AT_ONCE = {name: {"end_iter": 5, "start_iter": 5, **fields} for name, fields in {
    "GMP": {**MESSAGES["GLOBAL"], "alpha": 0},
    "GMP-S": {**MESSAGES["GLOBAL"], "start_iter": 0, "end_iter": 0},
    "LRP": {"method": "RANDOM", "sparsity": 0.75},
    "RG": {"method": "RAMANUJAN", "degree": 4},
    "NODE": {"method": "NODE", "target": 2},
    "OFF_DIAGONAL": {"num_blocks": 2, "weight_power": 0.5, "lr_power": 0.5},
    "OFF_DIAGONAL-S": {"num_blocks": 2, "start_iter": 0, "end_iter": 0}}.items()}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("set.npz", data=rng.integers(256, size=(23, 1, 2, 4)).astype(np.uint8),
             label=rng.integers(3, size=23))
    return tmp_path


def make(message, **fields):
    """A solver whose layer `a` is dense for 3 iterations, then pruned for 4."""
    pruning = [{"layer": ["a"], "start_iter": 3, "end_iter": 7, **message}]
    defaults = dict(base_lr=0.05, momentum=0.9, max_iter=12, test_iter=[2], test_interval=100,
                    snapshot_prefix="run", test_initialization=False, pruning=pruning)
    return caffe.get_solver(make_param(NET, **{**defaults, **fields}))


def everything(solver):
    blobs = solver.net.learnable_params
    masks = [np.ones(b.shape, bool) if b.mask is None else b.mask.copy() for b in blobs]
    return [b.data.copy() for b in blobs] + [to_numpy(h) for h in solver.history] + masks


@pytest.mark.parametrize("iteration, done_before", [(2, 5), (3, 0), (5, 6), (7, 0), (7, 5), (9, 0)])
@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_run_resumed_in_any_phase_ends_in_the_same_bits(message, iteration, done_before):
    check_resumed(message, iteration, done_before)


@pytest.mark.parametrize("iteration, done_before", [(3, 0), (3, 5), (5, 0), (5, 5), (6, 0), (6, 7)])
@pytest.mark.parametrize("message", AT_ONCE.values(), ids=AT_ONCE)
def test_a_run_resumed_before_at_or_after_pruning_at_once(message, iteration, done_before):
    check_resumed(message, iteration, done_before)


@pytest.mark.parametrize("message", [MESSAGES["RANDOM"], AT_ONCE["LRP"], AT_ONCE["RG"]])
@pytest.mark.parametrize("iteration, done_before", [(3, 8), (4, 0), (5, 8), (9, 0)])
def test_random_masks_are_of_the_seed_the_run_began_with(message, iteration, done_before):
    check_resumed(message, iteration, done_before, random_seed=-1)


@pytest.mark.parametrize("message", AT_ONCE.values(), ids=AT_ONCE)
def test_a_run_resumed_from_the_test_after_pruning_at_once(message):
    """A stop in the test of that iteration has a snapshot taken of what is pruned already."""
    fields = {"test_interval": 5, "test_initialization": True, "snapshot": 100}
    solver, stopped = make(message, **fields), make(message, **fields)
    solver.step(12)
    stopped.step(5)
    stopped.action = lambda: "stop"
    stopped.step(3)
    assert stopped.iter == 5
    state = stopped.snapshot()
    resumed = make(message, **fields)
    resumed.restore(state)
    resumed.step(7)
    for mine, expected in zip(everything(resumed), everything(solver)):
        assert mine.tobytes() == expected.tobytes()
    for each in solver, stopped, resumed:
        each.close()


@pytest.mark.parametrize("iteration", [5, 9])
def test_snapshots_in_hdf5_hold_masks_too(iteration):
    check_resumed(MESSAGES["MAGNITUDE"], iteration, snapshot_format="HDF5")


def check_resumed(message, iteration, done_before=0, **fields):
    """Resumed at `iteration`, by a solver that has done others before, a run ends the same."""
    solver = make(message, **fields)
    solver.step(iteration)
    state = solver.snapshot()
    solver.step(12 - iteration)
    tested = solver.test()

    resumed = make(message, **fields)
    resumed.step(done_before)
    resumed.restore(state)
    resumed.step(12 - iteration)
    for mine, expected in zip(everything(resumed), everything(solver)):
        assert mine.tobytes() == expected.tobytes()
    assert resumed.test() == tested
    solver.close()
    resumed.close()


@pytest.mark.parametrize("fields", [{}, {"start_iter": 7}])
def test_the_condensed_files_go_on_as_the_run_does(fields):
    """The net they describe learns at the rate the running one has come to."""
    solver = make({**MESSAGES["OFF_DIAGONAL"], **fields, "alpha": 0})
    solver.step(8)
    state = solver.snapshot()
    condensed = caffe.get_solver(make_param(None, net="run_condensed.prototxt", base_lr=0.05,
                                            momentum=0.9))
    assert condensed.net.params_lr == solver.net.params_lr == [np.float32(2 ** 0.5), 2, 1, 1]
    condensed.restore(state)
    for each in solver, condensed:
        each.step(4)
    for mine, expected in zip(everything(condensed), everything(solver)):
        assert mine.tobytes() == expected.tobytes()
    for each in solver, condensed:
        each.close()


@pytest.mark.parametrize("snapshot_format", ["BINARYPROTO", "HDF5"])
def test_the_condensed_net_is_written_beside_its_weights(snapshot_format):
    solver = make(MESSAGES["OFF_DIAGONAL"], snapshot_format=snapshot_format)
    solver.step(6)
    solver.snapshot()
    assert not os.path.exists("run_condensed.prototxt")
    solver.step(1)
    state = solver.snapshot()
    model = state.replace(".solverstate", ".caffemodel")
    net = caffe.Net("run_condensed.prototxt", caffe.TEST, weights=model)
    assert net.layer_dict["a"].type == "BlockInnerProduct"
    assert_array_equal(net.params["a"][0].data, solver.net.params["a"][0].data)
    assert net.layer_dict["a"].param.num_blocks == 2
    assert net.layer_dict["a"].param.weight_filler.type == "gaussian"    # to train it from scratch
    assert net.layer_dict["a"].layer_param.param[1].lr_mult == 2
    for test_net in net, solver.test_nets[0]:
        test_net.blobs["x"].data[...] = np.linspace(-1, 1, 40).reshape(5, 1, 2, 4)
        test_net.forward(start="a", end="c")
    assert_array_equal(net.blobs["c"].data, solver.test_nets[0].blobs["c"].data)
    net.close()
    solver.close()


def test_snapshots_hold_the_layer_as_it_is():
    solver = make(MESSAGES["OFF_DIAGONAL"])
    for iteration, kind, shape in (5, "InnerProduct", (6, 8)), (7, "BlockInnerProduct", (2, 3, 4)):
        solver.step(iteration - solver.iter)
        solver.snapshot()
        saved = {stored.name: stored for stored in
                 weights.read_net_weights(f"run_iter_{iteration}.caffemodel").layer}["a"]
        assert saved.type == kind and weights.blob_shape(saved.blobs[0]) == shape
        assert saved.blobs[0].HasField("mask") == (iteration == 5)
        history = weights.read_solver_state(f"run_iter_{iteration}.solverstate").history
        assert weights.blob_shape(history[0]) == shape
    solver.close()


def test_a_net_named_in_a_file_is_condensed_in_full(here):
    """Train and test phase both, and the layers of one phase alone."""
    (here / "net.prototxt").write_text(
        NET + layer("accuracy", "Accuracy", "c label", more="include { phase: TEST }"))
    param = make_param(None, net="net.prototxt", base_lr=0.05, snapshot_prefix="run", pruning=[
        {"layer": ["a"], "num_blocks": 2, "end_iter": 2}])
    solver = caffe.get_solver(param)
    solver.step(2)
    solver.snapshot()
    for phase in caffe.TRAIN, caffe.TEST:
        net = caffe.Net("run_condensed.prototxt", phase, weights="run_iter_2.caffemodel")
        assert net.layer_dict["a"].type == "BlockInnerProduct"
        assert ("accuracy" in net.layer_dict) == (phase == caffe.TEST)
        net.close()
    solver.close()


def test_test_nets_with_files_of_their_own_are_condensed_too(here):
    (here / "train.prototxt").write_text(NET)
    accuracy = NET + layer("accuracy", "Accuracy", "c label")
    for name in "one", "two":
        (here / f"{name}.prototxt").write_text(accuracy)
    param = make_param(None, train_net="train.prototxt", base_lr=0.05, snapshot_prefix="run",
                       test_net=["one.prototxt", "two.prototxt"], test_iter=[1, 1],
                       test_interval=9, pruning=[{"layer": ["a"], "num_blocks": 2, "end_iter": 2}])
    solver = caffe.get_solver(param)
    solver.step(2)
    solver.snapshot()
    for which in "", "_test", "_test_2":
        net = caffe.Net(f"run_condensed{which}.prototxt", caffe.TEST,
                        weights="run_iter_2.caffemodel")
        assert net.layer_dict["a"].type == "BlockInnerProduct"
        assert ("accuracy" in net.layer_dict) == bool(which)
        net.close()
    solver.close()


def test_a_condensed_solver_does_not_go_back():
    solver = make(MESSAGES["OFF_DIAGONAL"])
    solver.step(5)
    state = solver.snapshot()
    solver.step(4)
    with pytest.raises(SolverError, match="'a' is condensed already: a snapshot of iteration 5"):
        solver.restore(state)
    solver.close()


def test_a_snapshot_of_another_schedule_is_refused():
    solver = make(MESSAGES["OFF_DIAGONAL"])
    solver.step(8)
    state = solver.snapshot()
    later = make({**MESSAGES["OFF_DIAGONAL"], "end_iter": 11})
    with pytest.raises(WeightsError, match=r"shape \(2, 3, 4\), the net's parameter has \(6, 8\)"):
        later.restore(state)
    for each in solver, later:
        each.close()
