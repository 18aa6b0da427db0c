"""Snapshots: a resumed run ends in the same bits, and what doesn't fit is refused."""

import os
import sys

import numpy as np
import pytest
from net_helpers import ip, layer
from numpy.testing import assert_array_equal
from solver_helpers import NET, make_param, make_solver

import minicaffe as caffe
from minicaffe.backend import to_numpy
from minicaffe.errors import FileError, WeightsError
from minicaffe.net import copying, seed
from minicaffe.proto import text, weights
from minicaffe.solver import snapshot

MOMENTUM = {"momentum": 0.75}
RULES = {"SGD": MOMENTUM, "Nesterov": MOMENTUM, "AdaDelta": MOMENTUM, "Adam": MOMENTUM,
         "AdaGrad": {}, "RMSProp": {}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(seed, "_default", None)
    return tmp_path


def write_data(folder):
    rng = np.random.default_rng(0)
    np.savez(folder / "set.npz", data=rng.integers(256, size=(23, 1, 4, 4)).astype(np.uint8),
             label=rng.integers(3, size=23))


DATA = layer("data", "Data", top="x label", more="""
    transform_param { scale: 0.01 mirror: true crop_size: 3 }
    data_param { backend: NPZ source: "set.npz" batch_size: 5 shuffle: true rand_skip: 3 }""")
SHUFFLED = layer("b", "BlockInnerProduct", "a", more="""block_inner_product_param {
    num_output: 6 num_blocks: 3 shuffle: BLOCKS weight_filler { type: "xavier" } }""")
ORDERED = layer("s", "SparseOrthogonalInnerProduct", "a", "a", """
    sparse_orthogonal_inner_product_param { num_output: 6 weight_filler { type: "sao" degree: 2 } }""")
TRAINED = DATA + ip("a", "x", 6) + layer("d", "Dropout", "a", "a") + ORDERED + SHUFFLED \
    + ip("c", "b") + layer("loss", "SoftmaxWithLoss", "c label")


def make(**fields):
    """A solver of shuffled, cropped and mirrored data with Dropout and shuffled blocks."""
    defaults = dict(base_lr=0.01, lr_policy="multistep", gamma=0.5, stepvalue=[3, 5, 8],
                    max_iter=10, test_iter=[2], test_interval=4, weight_decay=0.01,
                    snapshot_prefix="run", snapshot_after_train=False)
    return caffe.get_solver(make_param(TRAINED, **{**defaults, **fields}))


def everything(solver):
    return [blob.data.copy() for blob in solver.net.learnable_params] + \
        [to_numpy(h).copy() for h in solver.history]


# ---- the same bits

@pytest.mark.parametrize("random_seed", [7, -1], ids=["seeded", "not seeded"])
@pytest.mark.parametrize("type_name", sorted(RULES))
def test_a_resumed_run_ends_in_the_same_bits(here, type_name, random_seed):
    write_data(here)
    fields = dict(type=type_name, random_seed=random_seed, iter_size=2, **RULES[type_name])
    solver = make(**fields)
    solver.step(6)
    state = solver.snapshot()
    solver.step(4)
    tested = solver.test()

    resumed = make(**fields)
    resumed.step(3)                                  # it may have done other things before
    resumed.restore(state)
    assert resumed.iter == 6
    resumed.step(4)
    for mine, expected in zip(everything(resumed), everything(solver)):
        assert_array_equal(mine, expected)
    assert resumed.test() == tested                  # test nets go on in their data too
    solver.close()
    resumed.close()


def test_a_solver_of_another_seed_tests_what_was_saved(here):
    """Orders are drawn by the seed: those of its test net have to be the file's as well."""
    write_data(here)
    solver, other = make(random_seed=1), make(random_seed=2)
    solver.step(2)
    state = solver.snapshot()
    other.restore(state)
    assert other.test() == solver.test()
    solver.close()
    other.close()


def resumed_equals(source):
    """Whether 2 + 2 iterations end in the bits of 4."""
    fields = dict(base_lr=0.05, lr_policy="fixed", max_iter=10, random_seed=3,
                  snapshot_prefix="run", snapshot_after_train=False)
    solver, resumed = (caffe.get_solver(make_param(source, **fields)) for _ in range(2))
    solver.step(2)
    resumed.restore(solver.snapshot())
    solver.step(2)
    resumed.step(2)
    pairs = list(zip(everything(resumed), everything(solver)))
    solver.close()
    resumed.close()
    return all((mine == expected).all() for mine, expected in pairs)


def test_layers_of_one_name_get_back_a_state_each(here):
    """Caffe's own autoencoder and captioning nets have names that stand for two layers."""
    noise = "".join(layer("noise", "DummyData", top=top, more=f"""
        dummy_data_param {{ shape {{ dim: 5 dim: {size} }} data_filler {{ type: "gaussian" }} }}""")
                    for top, size in (("x", 2), ("y", 7)))
    assert resumed_equals(noise + ip("a", "x") + ip("b", "y")
                          + layer("loss", "EuclideanLoss", "a b"))


@pytest.mark.parametrize("rng", ["None", "np.random.RandomState(1)", "5"])
def test_a_python_layer_may_have_an_rng_of_its_own(here, monkeypatch, rng):
    write_data(here)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "layer_with_rng", raising=False)
    (here / "layer_with_rng.py").write_text(f"""
import minicaffe, numpy as np
class Copy(minicaffe.Layer):
    def setup(self, bottom, top):
        self.rng = {rng}
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
""")
    assert resumed_equals(DATA + ip("a", "x") + layer(
        "p", "Python", "a", "b", 'python_param { module: "layer_with_rng" layer: "Copy" }')
        + layer("loss", "SoftmaxWithLoss", "b label"))


def test_a_snapshot_changes_nothing(here):
    write_data(here)
    runs = [make(random_seed=7, snapshot=snapshot) for snapshot in (0, 2)]
    for solver in runs:
        solver.step(7)
        solver.close()
    for mine, expected in zip(*map(everything, runs)):
        assert_array_equal(mine, expected)


def test_masks_come_back(here):
    solver = make_solver(snapshot_prefix="run", momentum=0.5)
    mask = np.random.default_rng(0).random((3, 5)) < 0.5
    solver.net.params["c"][0].mask = mask
    solver.step(2)
    state = solver.snapshot()
    resumed = make_solver(momentum=0.5)
    resumed.restore(state)
    resumed.step(3)
    assert_array_equal(resumed.net.params["c"][0].mask, mask)
    assert not resumed.net.params["c"][0].data[~mask].any()


def test_solve_resumes(here):
    solver = make_solver(snapshot=3, snapshot_prefix="run", max_iter=6)
    solver.solve()
    resumed = make_solver(max_iter=6)
    resumed.passes = 3
    resumed.solve("run_iter_3.solverstate")
    assert_array_equal(resumed.net.params["c"][0].data, solver.net.params["c"][0].data)


def test_multistep_goes_on_at_its_step(here):
    solver = make_solver(lr_policy="multistep", gamma=0.5, stepvalue=[2, 4, 9],
                         snapshot_prefix="run")
    solver.step(5)
    state = weights.read_solver_state(solver.snapshot())
    assert state.current_step == 2 and state.iter == 5
    resumed = make_solver(lr_policy="multistep", gamma=0.5, stepvalue=[2, 4, 9])
    resumed.restore("run_iter_5.solverstate")
    assert resumed.learning_rate(5) == 0.125


# ---- when and where

def test_snapshots_come_every_snapshot_iterations_and_at_the_end(here):
    make_solver(snapshot=2, snapshot_prefix="out/run", max_iter=5,
                snapshot_after_train=True).solve()
    assert sorted(os.listdir("out")) == sorted(
        f"run_iter_{i}.{kind}" for i in (2, 4, 5) for kind in ("caffemodel", "solverstate"))


def test_none_at_the_end_if_not_wanted(here):
    make_solver(snapshot=2, snapshot_prefix="run", max_iter=5, snapshot_after_train=False).solve()
    assert not os.path.exists("run_iter_5.caffemodel")


def test_not_twice_where_the_end_is_due_anyway(here, monkeypatch):
    solver, written = make_solver(snapshot=2, snapshot_prefix="run", max_iter=4,
                                  snapshot_after_train=True), []
    monkeypatch.setattr(snapshot, "write", lambda solver: written.append(solver.iter))
    solver.solve()
    assert written == [2, 4]


def test_stopping_before_the_first_iteration_leaves_a_snapshot(here):
    solver = make_solver(snapshot=2, snapshot_prefix="run", max_iter=4, test_interval=1,
                         test_iter=[3])
    solver.action = lambda: "stop"
    solver.solve()
    assert solver.iter == 0 and os.path.exists("run_iter_0.solverstate")


def test_a_request_for_a_snapshot(here):
    solver = make_solver(snapshot_prefix="run")
    solver.action = lambda: "snapshot" if solver.iter == 2 else None
    solver.step(4)
    assert sorted(os.listdir()) == ["run_iter_2.caffemodel", "run_iter_2.solverstate"]


def solver_file(folder, **fields):
    (folder / "lenet.prototxt").write_text(text.to_text(make_param(**fields)))
    return "lenet.prototxt"


def test_the_default_prefix_is_the_solver_s_name(here):
    solver = caffe.get_solver(solver_file(here))
    assert solver.prefix == "lenet"
    (here / "lenet").mkdir()                         # a folder of that name doesn't matter
    assert caffe.get_solver(solver_file(here)).prefix == "lenet"


def test_a_folder_as_prefix(here):
    (here / "out").mkdir()
    solver = caffe.get_solver(solver_file(here, snapshot_prefix="out"))
    assert solver.prefix == os.path.join("out", "lenet")
    assert caffe.get_solver(solver_file(here, snapshot_prefix="out/")).prefix == "out/lenet"
    assert caffe.get_solver(solver_file(here, snapshot_prefix="other")).prefix == "other"


def test_a_file_in_the_way_is_found_before_training(here):
    (here / "out").write_text("")
    with pytest.raises(FileError, match="snapshots can't be written to out/run"):
        make_solver(snapshot=1, snapshot_prefix="out/run")


# ---- files

def test_what_the_files_hold(here):
    solver = make_solver(type="Adam", snapshot_prefix="run", random_seed=5)
    solver.step(2)
    state = weights.read_solver_state(solver.snapshot())
    assert state.iter == 2 and state.random_seed == 5
    assert state.learned_net == "run_iter_2.caffemodel"
    # Caffe's order: all first histories, then all second ones
    assert [weights.blob_shape(h) for h in state.history] == [(3, 5), (3,), (3, 5), (3,)]
    for proto, h in zip(state.history, solver.history):
        assert_array_equal(weights.blob_to_array(proto).ravel(), to_numpy(h))
    model = weights.read_net_weights("run_iter_2.caffemodel")
    assert not model.layer[1].blobs[0].double_diff


def test_snapshot_diff(here):
    solver = make_solver(snapshot_prefix="run", snapshot_diff=True)
    solver.step(1)
    solver.snapshot()
    blob = weights.read_net_weights("run_iter_1.caffemodel").layer[1].blobs[0]
    assert_array_equal(weights.blob_to_array(blob, "diff"), solver.net.params["c"][0].diff)
    other = make_solver().net
    other.copy_from("run_iter_1.caffemodel")
    for name, blobs in solver.net.params.items():
        for blob, copied in zip(blobs, other.params[name]):
            assert_array_equal(copied.diff, blob.diff)
    assert abs(other.params["c"][0].diff).max() > 0


def test_a_damaged_diff(here):
    solver = make_solver()
    solver.step(1)
    before = solver.net.params["c"][0].data.copy()
    stored = copying.net_to_proto(solver.net, write_diff=True)
    blob = stored.layer[1].blobs[0]
    (blob.diff or blob.double_diff).pop()
    with pytest.raises(WeightsError, match="layer 'c', blob 0: a blob of shape .3, 5. holds 14"):
        solver.net.copy_from(stored)
    assert_array_equal(solver.net.params["c"][0].data, before)


def test_the_weights_are_found_beside_the_state(here):
    """Both files moved elsewhere, an older run's weights still in the old place."""
    solver = make_solver(snapshot_prefix="old/run")
    solver.step(2)
    solver.snapshot()
    expected = solver.net.params["c"][0].data.copy()
    os.makedirs("new")
    for name in os.listdir("old"):
        os.rename(f"old/{name}", f"new/{name}")
    solver.net.params["c"][0].data[...] = 0
    solver.net.save("old/run_iter_2.caffemodel")
    resumed = make_solver()
    resumed.restore("new/run_iter_2.solverstate")
    assert_array_equal(resumed.net.params["c"][0].data, expected)
    os.remove("new/run_iter_2.caffemodel")
    resumed.restore("new/run_iter_2.solverstate")     # then where its name says
    assert not resumed.net.params["c"][0].data.any()
    os.remove("old/run_iter_2.caffemodel")
    with pytest.raises(FileError, match="old/run_iter_2.caffemodel: can't be read"):
        resumed.restore("new/run_iter_2.solverstate")


def snapshot_of(here, **fields):
    solver = make_solver(snapshot_prefix="run", **fields)
    solver.step(1)
    return solver.snapshot()


def unchanged_after(solver, state, error, message):
    before = everything(solver)
    with pytest.raises(error, match=message):
        solver.restore(state)
    assert solver.iter == 0
    for mine, expected in zip(everything(solver), before):
        assert_array_equal(mine, expected)


def test_a_state_of_another_solver_type(here):
    unchanged_after(make_solver(type="Adam"), snapshot_of(here), WeightsError,
                    "run_iter_1.solverstate: has 2 history blobs, the Adam solver .* needs 4")


def test_a_state_of_another_net(here):
    other = NET.replace("dim: 5", "dim: 6")
    unchanged_after(make_solver(other), snapshot_of(here), WeightsError,
                    r"history blob 0 has shape \(3, 5\), the net's parameter has \(3, 6\)")


def test_weights_of_another_net(here):
    state = snapshot_of(here)
    make_solver(NET.replace("dim: 5", "dim: 6")).net.save("run_iter_1.caffemodel")
    unchanged_after(make_solver(), state, WeightsError,
                    r"run_iter_1.caffemodel: layer 'c', blob 0 has shape \(3, 6\) there, \(3, 5\)")


def test_weights_of_a_net_with_other_layers(here):
    """Caffe, and we once, went on with new random weights in the layers of other names."""
    unchanged_after(make_solver(NET.replace("name: 'c'", "name: 'k'").replace('name: "c"', 'name: "k"')),
                    snapshot_of(here), WeightsError,
                    "run_iter_1.caffemodel: holds no weights for layer 'k': they are another net's")


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
def test_a_state_of_another_solver_type_with_as_many_histories(here, format):
    unchanged_after(make_solver(type="RMSProp"), snapshot_of(here, snapshot_format=format),
                    WeightsError, "run_iter_1.solverstate.* run with solver type SGD, not RMSProp")


@pytest.mark.parametrize("content, message", [
    (b"", "empty"), (b"iter: 3", "is a text file"), (b"\x08\x01\xff\xff", "truncated or")])
def test_what_is_no_state(here, content, message):
    (here / "x.solverstate").write_bytes(content)
    unchanged_after(make_solver(), "x.solverstate", FileError, f"x.solverstate: .*{message}")


def test_a_state_of_the_original_caffe(here):
    """Without our own fields: weights, histories and iteration count."""
    solver = make_solver(momentum=0.5, snapshot_prefix="run")
    solver.step(2)
    path = solver.snapshot()
    state = weights.read_solver_state(path)
    state.ClearField("layer_state")
    state.ClearField("random_seed")
    state.ClearField("type")
    weights.write_binary(state, path)
    solver.step(2)
    resumed = make_solver(momentum=0.5)
    resumed.restore(path)
    resumed.passes = 2
    resumed.step(2)
    assert_array_equal(resumed.net.params["c"][0].data, solver.net.params["c"][0].data)
