"""The GPU's own of nets and solvers: launches, waits, errors that name their layer."""

import logging
import math
import pathlib

import numpy as np
import pytest
from net_helpers import build, inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal
from solver_helpers import NET, make_solver
from stand_in import state

import minicaffe as caffe
from minicaffe import backend
from minicaffe.analysis.bench import CASES, net_on_inputs
from minicaffe.errors import DivergedError, LayerError, SolverError
from minicaffe.primitives.update import ParameterTable
from minicaffe.proto import caffe_pb2
from minicaffe.solver import solver_type_list
from minicaffe.solver.base import solver_class

ROOT = pathlib.Path(__file__).parents[2]
MOST_LAUNCHES = {"lenet": 40, "quick": 55}


@pytest.fixture(autouse=True)
def on_the_gpu(xp):
    if xp is np:
        pytest.skip("the CPU has neither launches nor waits")


@pytest.fixture
def counts(xp):
    if not xp.__version__.endswith("stand-in"):
        pytest.skip("only the stand-in counts")
    return state.counts


def paper_solver(name, **fields):
    case = CASES[name]._replace(shape=(4, *CASES[name].shape[1:]))
    param = caffe_pb2.SolverParameter(**{**dict(
        net_param=net_on_inputs(case, ROOT), base_lr=0.001, lr_policy="fixed", momentum=0.9,
        weight_decay=0.0005, random_seed=1, snapshot_after_train=False), **fields})
    solver = caffe.get_solver(param)
    solver.net.blobs["data"].data = np.random.default_rng(0).normal(size=case.shape)
    return solver


# ---- launches and waits

@pytest.mark.parametrize("name", sorted(MOST_LAUNCHES))
def test_a_training_step_waits_for_nothing(counts, name):
    """No copy either way, no memory, and the host runs ahead."""
    solver = paper_solver(name)
    solver.step(2)
    counts.reset()
    solver._forward_backward()
    solver.apply_update()
    print(f"{name}: {counts.launches} launches a training step")
    assert counts.launches <= MOST_LAUNCHES[name]
    assert counts.synchronisations == counts.to_device == counts.to_host == 0
    assert counts.allocations <= 2


@pytest.mark.parametrize("type_name", solver_type_list())
def test_one_launch_updates_all_parameters(counts, type_name):
    solver = make_solver(type=type_name, weight_decay=0.25)
    solver.step(2)
    counts.reset()
    solver.apply_update()
    assert counts.launches == 1 + (type_name == "Adam")        # whose factor changes each time
    assert counts.synchronisations == counts.to_device == 0


@pytest.mark.parametrize("policy, launches", [(dict(lr_policy="fixed"), 1),
                                              (dict(lr_policy="inv", gamma=0.1, power=1), 2)])
def test_a_rate_is_written_only_where_it_changes(counts, policy, launches):
    solver = make_solver(**policy)
    solver.step(2)
    counts.reset()
    solver.apply_update()
    assert counts.launches == launches and counts.to_device == 0


def test_clipping_costs_two_launches_and_no_wait(counts):
    solver = make_solver(clip_gradients=0.125)
    solver.step(2)
    counts.reset()
    solver.apply_update()
    assert counts.launches == 3 and counts.synchronisations == 0


def test_gradients_are_cleared_by_one_launch(counts):
    solver = make_solver()
    solver.step(2)
    counts.reset()
    solver.net.clear_param_diffs()
    assert counts.launches == 1
    assert not any(blob.diff.any() for blob in solver.net.learnable_params)


def test_the_loss_is_fetched_at_displays_only(counts, monkeypatch):
    solver = make_solver(display=3)
    waits = []
    for iteration in range(7):
        solver.iter = iteration
        solver._forward_backward()
        before = counts.synchronisations
        if iteration % 3 == 0:
            solver._displayed = (0, 0)
            solver._display()
        waits.append(counts.synchronisations > before)
    assert waits == [True, False, False] * 2 + [True]


def test_a_test_pass_is_fetched_once(counts):
    net = inputs(x=(4, 5), label=(4,)) + ip("c", "x") + layer("acc", "Accuracy", "c label") \
        + layer("loss", "SoftmaxWithLoss", "c label")
    solver = make_solver(net, test_iter=[20], test_interval=100)
    solver.test()
    counts.reset()
    solver.test()
    assert counts.synchronisations + counts.to_host <= 2 * 5      # two outputs, the loss, two checks


# ---- tables

def test_parameters_of_any_size_and_number(xp):
    rng = np.random.default_rng(0)
    sizes = [1, 1023, 0, 1024, 1025, 5000]
    arrays = [xp.asarray(rng.normal(size=n)) for n in sizes]
    others = [array.copy() for array in arrays]
    table = ParameterTable(xp, np.float64, [(a, b) for a, b in zip(arrays, others)])
    table.clear()
    for array, other in zip(arrays, others):
        assert not array.any()
        assert other.size == 0 or backend.to_numpy(other).all()


def test_a_table_knows_its_arrays(xp):
    a, b = xp.zeros(5), xp.zeros(5)
    table = ParameterTable(xp, np.float64, [(a, b, None)])
    assert table.is_of([(a, b, None)])
    assert table.is_of([(a.reshape(5), b.reshape(5), None)])       # other views of the same memory
    assert not table.is_of([(b, a, None)])
    assert not table.is_of([(a, b, xp.zeros(5, bool))])
    assert not table.is_of([(a, b, None), (a, b, None)])


def test_a_mask_set_during_training_is_obeyed():
    solver = make_solver(momentum=0.5)
    solver.step(2)
    mask = np.arange(15).reshape(3, 5) % 2 == 0
    solver.net.params["c"][0].mask = mask
    solver.step(3)
    w = solver.net.params["c"][0].data
    assert not w[~mask].any() and w[mask].all()


def test_a_rate_changed_by_hand_is_obeyed():
    solver = make_solver()
    before = solver.net.params["c"][0].data.copy()
    solver.net.params_lr[0] = 0.0
    solver.step(2)
    assert_array_equal(solver.net.params["c"][0].data, before)
    solver.net.params_lr[0] = 1.0
    solver.step(1)
    assert not np.array_equal(solver.net.params["c"][0].data, before)


# ---- losses

@pytest.mark.parametrize("fields", [dict(average_loss=3), dict(iter_size=2),
                                    dict(iter_size=3, average_loss=2)], ids=str)
def test_means_of_losses_are_the_cpu_s(fields):
    """The same small net on the CPU, in double precision."""
    on_gpu = make_solver(**fields)
    backend.set_mode_cpu()
    on_cpu = make_solver(**fields)
    for solver in on_gpu, on_cpu:
        solver.step(5)
    assert on_gpu.smoothed_loss == pytest.approx(on_cpu.smoothed_loss, rel=1e-9)


def test_several_weighted_tops_add_up():
    net = build(inputs(x=(4, 5), label=(4,)) + ip("c", "x", 3)
                + layer("loss", "SoftmaxWithLoss", "c label", more="loss_weight: 0.5")
                + layer("sum", "Reduction", "c", more="loss_weight: 2"))
    for name in "loss", "sum":
        net.blobs[name].diff[...] = 7                  # as what reads a top in place leaves it
    net.forward(x=np.ones((4, 5)), label=[0, 1, 2, 0])
    loss, total = net.blobs["loss"].data, net.blobs["sum"].data
    assert net.total_loss == pytest.approx(0.5 * float(loss) + 2 * float(total), rel=1e-9)
    assert float(net.blobs["loss"].diff) == 0.5 and float(net.blobs["sum"].diff) == 2


def test_a_net_without_loss_has_the_loss_zero():
    net = build(NET, caffe.TRAIN)
    net.forward()
    assert net.total_loss > 0
    net.forward(end="c")
    assert net.total_loss == 0


def test_a_clipped_gradient_is_told_at_displays(caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    make_solver(clip_gradients=0.125, display=2, max_iter=3).solve()
    lines = [record.getMessage() for record in caplog.records if "clipping" in record.getMessage()]
    assert len(lines) == 2
    words = lines[0].split()
    norm, factor = float(words[words.index("norm") + 1]), float(words[-1])
    assert factor == pytest.approx(0.125 / norm, rel=1e-4)


def test_iterations_nobody_looked_at_are_named(xp):
    solver = make_solver(display=5)
    solver.step(2)
    solver.net.params["c"][1].data[0] = math.nan
    with pytest.raises(DivergedError, match="iterations 2 to 5: the loss is nan: the first layer "
                                            "whose output isn't finite is 'c'"):
        solver.step(10)


def test_l1_decay_leaves_zeros_alone():
    solver = make_solver(weight_decay=0.25, regularization_type="L1")
    w = solver.net.params["c"][0]
    w.data[...] = 0
    solver.net.clear_param_diffs()
    solver.apply_update()
    assert not w.data.any()


# ---- labels that can't be

BAD = [0, 1, 9, 0]
SENTENCE = r"layer 'loss' \(SoftmaxWithLoss\): .*9"


def with_labels(solver, labels):
    """The solver, its nets' inputs holding these labels in every pass."""
    def forward(bottom, top):
        top[1].data = labels
    for net in (solver.net, *solver.test_nets):
        net.layers[0].forward = forward
    return solver


def test_a_bad_label_is_told_where_a_step_ends():
    with pytest.raises(LayerError, match=SENTENCE):
        with_labels(make_solver(), BAD).step(1)


def test_a_bad_label_is_told_where_the_loss_is_fetched():
    net = build(NET, caffe.TRAIN)
    net.blobs["label"].data = BAD
    net._forward(0, len(net.layers) - 1)                 # waits for nothing
    with pytest.raises(LayerError, match=SENTENCE):
        net.total_loss
    with pytest.raises(LayerError, match=SENTENCE):
        net.forward()


def test_a_bad_label_is_told_at_the_end_of_a_test():
    solver = with_labels(make_solver(test_iter=[2], test_interval=100), BAD)
    with pytest.raises(LayerError, match=SENTENCE):
        solver.test()


# ---- errors

def memory_is_full(*arguments):
    raise backend.xp().cuda.memory.OutOfMemoryError(1234944, 512)


@pytest.mark.parametrize("method", ["forward", "backward", "reshape"])
def test_a_full_memory_names_the_layer_and_the_bytes(monkeypatch, method):
    solver = make_solver()
    monkeypatch.setattr(solver.net.layers[1], method, memory_is_full)
    if method == "reshape":
        monkeypatch.setattr(solver.net.layers[1], "reshape_always", True)
    with pytest.raises(LayerError, match=r"layer 'c' \(InnerProduct\): GPU 0 is out of memory: "
                                         "1,234,944 bytes were asked for, 512 are taken"):
        solver.step(1)


def test_a_full_memory_while_the_net_is_built(monkeypatch):
    monkeypatch.setattr(caffe.layers.layer_class("InnerProduct"), "setup", memory_is_full)
    with pytest.raises(LayerError, match=r"layer 'c' \(InnerProduct\): GPU 0 is out of memory: 1,234,"):
        make_solver()


def test_a_full_memory_while_all_layers_are_reshaped(monkeypatch):
    solver = make_solver()
    monkeypatch.setattr(solver.net.layers[1], "reshape", memory_is_full)
    with pytest.raises(LayerError, match=r"layer 'c' \(InnerProduct\): GPU 0 is out of memory"):
        solver.net.reshape()


def test_a_full_memory_in_the_update(monkeypatch):
    solver = make_solver()
    monkeypatch.setattr(solver._on_device, "apply", memory_is_full)
    with pytest.raises(SolverError, match="the update of the weights: GPU 0 is out of memory: 1,234,"):
        solver.step(1)


def test_a_rule_without_kernels_is_refused(monkeypatch):
    monkeypatch.setattr(solver_class("SGD"), "kernels", None)
    with pytest.raises(SolverError, match="solver type 'SGD' has no rule for the GPU"):
        make_solver()


def test_what_the_net_returns_are_numpy_arrays():
    net = build(NET, caffe.TRAIN)
    out = net.forward(x=np.ones((4, 5)), label=np.zeros(4), blobs=["c"])
    assert all(type(array) is np.ndarray for array in out.values())
    assert type(net.backward(diffs=["c"])["c"]) is np.ndarray
    assert_allclose(out["c"], net.blobs["c"].data)
