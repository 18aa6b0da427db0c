"""Cached runs: their keys, what they record, going on after a kill in the same bits."""

import dataclasses
import fcntl
import multiprocessing
import os
import signal
import time
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from figures.frame import training
from figures.frame.runs import Run, digest
from minicaffe import Net
from minicaffe.analysis.spectra import singular_values
from minicaffe.errors import DivergedError, Error
from minicaffe.net.evaluation import evaluate
from minicaffe.solver.base import Solver

NET = """name: "small"
layer {{ name: "d" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  data_param {{ source: "{folder}/train.npz" batch_size: 8 backend: NPZ shuffle: true }} }}
layer {{ name: "d" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  data_param {{ source: "{folder}/test.npz" batch_size: 10 backend: NPZ }} }}
layer {{ name: "drop" type: "Dropout" bottom: "data" top: "data" }}
layer {{ name: "ip1" type: "BlockInnerProduct" bottom: "data" top: "ip1"
  block_inner_product_param {{ num_output: 6 num_blocks: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""
SOLVER = 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 45'


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A short run, its data and an empty cache."""
    rng = np.random.default_rng(0)
    for split, count in ("train", 40), ("test", 20):
        labels = rng.integers(3, size=count)
        images = rng.normal(size=(count, 1, 2, 2)).astype(np.float32) + labels[:, None, None, None]
        np.savez(tmp_path / f"{split}.npz", images=images, labels=labels)
    monkeypatch.setenv("MINICAFFE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(training, "SNAPSHOT", 20)
    return Run("a run", NET.format(folder=tmp_path), SOLVER, seed=3, record=5, test=15,
               test_batches=2, train_batches=2, final_train_batches=5)


def test_what_is_recorded(run, xp):
    training.obtain([run], say=lambda line: None)
    result = training.load(run)
    assert_array_equal(result["record_iterations"], np.arange(0, 50, 5))
    assert_array_equal(result["test_iterations"], [0, 15, 30, 45])
    assert result["test_accuracy"][-1] > result["test_accuracy"][0]
    assert len(result["train_accuracy"]) == 4 and 0.3 < result["final_train_accuracy"] <= 1
    weights = result["ip1.weights"]
    assert weights.shape == (2, 3, 2)
    assert_allclose(result["ip1.variance"][-1], weights.astype(float).var(), rtol=1e-12)
    assert_allclose(result["ip1.singular_values"][-1], singular_values(weights), rtol=1e-6)
    assert_array_equal(result["ip2.iterations"], np.arange(0, 45, 5))
    assert_allclose(result["ip2.step_variance"], result["ip2.variance"][:-1], rtol=1e-12)
    assert not list(run.folder.glob("state_*"))
    assert "iteration 45" in (run.folder / "log.txt").read_text()


def test_training_accuracy_is_of_training_data(run, tmp_path):
    """It is the test accuracy of the same run where the test set is the training set."""
    run = dataclasses.replace(run, test_batches=4, final_train_batches=4)
    training.train(run)
    np.savez(tmp_path / "test.npz", **np.load(tmp_path / "train.npz"))
    digest.cache_clear()
    same = dataclasses.replace(run, name="on training data")
    training.train(same)
    first, second = training.load(run), training.load(same)
    assert first["final_train_accuracy"] == second["test_accuracy"][-1]
    assert first["test_accuracy"][-1] != second["test_accuracy"][-1]


def test_a_second_call_trains_nothing(run, monkeypatch):
    training.train(run)
    said = []
    monkeypatch.setattr(training, "get_solver", None)
    training.obtain([run, run], jobs=2, say=said.append)
    assert not said
    assert training.train(run) == float(training.load(run)["seconds"])


def test_isometry(run):
    """Of all layers' singular values together: four of ip1's two blocks, three of ip2."""
    training.train(dataclasses.replace(run, isometry=True))
    result = training.load(dataclasses.replace(run, isometry=True))
    assert_array_equal(result["isometry.iterations"], result["record_iterations"])
    values = [np.hstack([result[f"{layer}.singular_values"][t] for layer in run.layers])
              for t in range(10)]
    assert_allclose(result["isometry.mean"], [v.mean() for v in values], rtol=1e-6)
    assert_allclose(result["isometry.variance"], [v.var() for v in values], rtol=1e-5)


def test_history_of_weights(run, tmp_path, monkeypatch):
    """At the start, at each record, at the end; also of a run that is cut off and goes on."""
    run = dataclasses.replace(run, history=("ip2",))
    check_cut_off(run, tmp_path, monkeypatch)
    result = training.load(run)
    history = result["ip2.history"]
    assert history.shape == (10, 3, 6)
    assert_allclose(history.astype(float).var(axis=(1, 2)), result["ip2.variance"], rtol=1e-12)
    assert_array_equal(history[-1], result["ip2.weights"])


def test_the_best_weights_are_kept(run, tmp_path, monkeypatch):
    """They give the lowest of the losses of all tests; also of a run that is cut off and goes on."""
    rising = SOLVER.replace('"fixed"', '"multistep" stepvalue: 20 gamma: 10')
    run = dataclasses.replace(run, solver=rising, keep_best=True)
    check_cut_off(run, tmp_path, monkeypatch)
    losses = training.load(run)["test_loss"]
    assert 0 < losses.argmin() < len(losses) - 1
    with closing(Net(run.net_param(), "TEST")) as net:
        net.copy_from(str(run.best_weights))
        assert evaluate(net, run.test_batches).loss == losses.min()


class TestBeginningFromAnotherRun:
    def test_it_goes_on_from_the_final_weights(self, run):
        """And the first run, which isn't asked for, is trained first."""
        first = dataclasses.replace(run, name="first", keep_weights=True)
        second = dataclasses.replace(run, name="second", begin=first)
        said = []
        training.obtain([second], say=said.append)
        before, after = training.load(first), training.load(second)
        assert before["test_accuracy"][-1] != before["test_accuracy"][0]
        for name in "test_loss", "ip1.singular_values", "ip2.variance":
            assert_array_equal(after[name][0], before[name][-1])
            assert (after[name][-1] != after[name][0]).any()
        assert [line.split(":")[0] for line in said[1:]] == ["first", "second"]

    def test_its_key_is_its_own(self, run):
        first = dataclasses.replace(run, keep_weights=True)
        keys = [dataclasses.replace(run, begin=begin).key
                for begin in (None, first, dataclasses.replace(first, seed=4))]
        assert keys[0] == run.key and len(set(keys)) == 3

    def test_interrupted_it_goes_on_from_its_own_snapshot(self, run, tmp_path, monkeypatch):
        first = dataclasses.replace(run, name="first", keep_weights=True)
        check_cut_off(dataclasses.replace(run, begin=first), tmp_path, monkeypatch)


def test_what_is_pruned_at_once_is_measured_so(run):
    """Before the first iteration there are as many weights as after it."""
    pruned = dataclasses.replace(
        run, solver=SOLVER + ' pruning { method: MAGNITUDE sparsity: 0.5 layer: "ip2" }')
    training.train(run)
    training.train(pruned)
    dense, sparse = training.load(run), training.load(pruned)
    assert np.count_nonzero(sparse["ip2.weights"]) == 9
    assert sparse["ip2.variance"][0] < dense["ip2.variance"][0]
    assert sparse["test_loss"][0] != dense["test_loss"][0]


def test_a_run_cut_off_goes_on_in_the_same_bits(run, tmp_path, monkeypatch):
    check_cut_off(dataclasses.replace(run, isometry=True), tmp_path, monkeypatch)


def check_cut_off(run, tmp_path, monkeypatch):
    """Train a run at a go and, elsewhere, cut off at iteration 25; compare all results."""
    training.train(run)
    whole, plain_step = training.load(run), Solver.step
    monkeypatch.setenv("MINICAFFE_CACHE", str(tmp_path / "cut"))

    def cut(solver, count):
        if solver.iter >= 25:
            raise KeyboardInterrupt
        plain_step(solver, count)

    if run.begin:
        training.train(run.begin)
    with monkeypatch.context() as patch:
        patch.setattr(Solver, "step", cut)
        with pytest.raises(KeyboardInterrupt):
            training.train(run)
    assert {path.name for path in run.folder.glob("state_*.npz")} == {"state_iter_20.npz"}
    training.train(run)
    resumed = training.load(run)
    assert "from iteration 20" in (run.folder / "log.txt").read_text()
    assert set(resumed) == set(whole)
    for name in set(whole) - {"seconds"}:
        assert_array_equal(resumed[name], whole[name], err_msg=name)


class TestDiverging:
    """A rate of 1e30 at iteration 20, after which the loss is nan."""

    @pytest.fixture
    def run(self, run):
        wild = SOLVER.replace('"fixed"', '"multistep" stepvalue: 20 gamma: 1e31')
        return dataclasses.replace(run, solver=wild, keep_weights=True)

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_is_a_result_where_the_run_may(self, run):
        run = dataclasses.replace(run, may_diverge=True)
        training.obtain([run], say=lambda line: None)
        result = training.load(run)
        assert result["diverged"] == 21
        assert_array_equal(result["test_iterations"], [0, 15])
        assert_array_equal(result["record_iterations"], [0, 5, 10, 15, 20])
        assert "ip1.weights" not in result and "final_train_accuracy" not in result
        assert not run.final_weights.exists() and not list(run.folder.glob("state_*"))
        assert "iteration 21: the loss is nan" in (run.folder / "log.txt").read_text()

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_is_an_error_elsewhere(self, run):
        """Also where the cache has it as a result: the key is the same."""
        with pytest.raises(DivergedError, match="iteration 21: the loss is nan"):
            training.train(run)
        assert training.load(run) is None
        training.train(dataclasses.replace(run, may_diverge=True))
        with pytest.raises(DivergedError, match="of 'a run' was not finite at iteration 21"):
            training.obtain([run])


def test_kill_9(run):
    """A process killed in the middle leaves no lock and nothing half written."""
    slow = dataclasses.replace(run, solver=SOLVER.replace("45", "400000"))
    process = multiprocessing.get_context("spawn").Process(target=training.train, args=(slow,))
    process.start()
    deadline = time.monotonic() + 60
    while not list(slow.folder.glob("state_iter_*.solverstate")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert training.load(slow) is None
    solver = training.get_solver(training._param(slow))
    rows, seconds = training._resume(slow, solver)
    solver.close()
    assert solver.iter >= 1000 and seconds > 0
    assert rows["record_iterations"][-1] == solver.iter - slow.record


def test_a_state_without_its_rows_is_not_gone_on_from(run):
    run.folder.mkdir(parents=True)
    (run.folder / "state_iter_20.solverstate").write_bytes(b"damaged")
    training.train(run)
    assert "from iteration 0" in (run.folder / "log.txt").read_text()


@pytest.mark.parametrize("keep", [0, 10, 2000])
def test_damaged_results(run, keep):
    training.train(run)
    path = run.folder / "result.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Error, match="result.npz: is damaged; without it 'a run' is trained anew"):
        training.obtain([run])


def test_side_by_side(run):
    runs = [run, dataclasses.replace(run, name="b", seed=4)]
    said = []
    training.obtain(runs, jobs=2, say=said.append)
    first, second = map(training.load, runs)
    assert len(said) == 3 and (first["ip1.weights"] != second["ip1.weights"]).any()


def several(run, count=4):
    """Runs that would take hours."""
    endless = SOLVER.replace("45", "40000000")
    return [dataclasses.replace(run, seed=seed, solver=endless) for seed in range(count)]


def begun(runs):
    """Wait for the first snapshots of two of the runs."""
    deadline = time.monotonic() + 60
    while sum(bool(list(run.folder.glob("state_*.npz"))) for run in runs) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_free(run):
    """Whether no process trains that run."""
    with open(run.folder / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def interruptible(runs):
    """Train as a program in the foreground does; one begun in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    training.obtain(runs, 2)


def begin_side_by_side(runs):
    process = multiprocessing.get_context("spawn").Process(target=interruptible, args=(runs,))
    process.start()
    begun(runs)
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_side_by_side_ends_with_the_call(run, how):
    """All runs end, and those that wait for a process don't begin."""
    runs = several(run)
    process = begin_side_by_side(runs)
    os.kill(process.pid, how)
    process.join(20)
    assert process.exitcode not in (None, 0)
    deadline = time.monotonic() + 20
    while not all(map(is_free, (r for r in runs if r.folder.exists()))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sum(r.folder.exists() for r in runs) == 2


def test_an_error_in_one_run_ends_those_beside_it(run):
    runs = several(run)
    unfit = dataclasses.replace(runs[0], net=run.net.replace("num_blocks: 2", "num_blocks: 4"))
    with pytest.raises(Error, match="num_output 6 is not a multiple of num_blocks 4"):
        training.obtain([*runs[1:], unfit][::-1], jobs=2, say=lambda line: None)


def test_key_depends_on_what_matters(run, tmp_path):
    renamed = run.net.replace('"small"', '"other"')
    assert dataclasses.replace(run, name="b", net=renamed).key == run.key
    commented = dataclasses.replace(run, net="# a comment\n" + run.net)
    assert commented.key == run.key
    for change in {"seed": 4}, {"record": 6}, {"solver": SOLVER + " weight_decay: 1"}, \
            {"net": run.net.replace("num_blocks: 2", "num_blocks: 1")}:
        assert dataclasses.replace(run, **change).key != run.key
    arrays = dict(np.load(tmp_path / "train.npz"))
    arrays["images"][7] += 1
    np.savez(tmp_path / "train.npz", **arrays)
    digest.cache_clear()
    assert dataclasses.replace(run, name="b").key != run.key


def test_keys_of_runs_that_are_in_caches_already():
    """A key that changes makes hours of training useless: ARITHMETIC goes up on purpose only."""
    run = Run("a", 'layer { name: "ip" type: "InnerProduct" }', "base_lr: 0.5 max_iter: 9", seed=1)
    assert run.key == "f1ecd164953a30fb0933"


def test_a_net_without_training_data(run):
    for there, instead in ("phase: TEST", "phase: TRAIN"), ("phase: TRAIN", "phase: TEST"):
        unfit = run.net.replace(there, instead, 1)
        with pytest.raises(Error):
            training.train(dataclasses.replace(run, net=unfit))
