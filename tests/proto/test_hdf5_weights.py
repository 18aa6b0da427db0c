""".caffemodel.h5 and .solverstate.h5: Caffe's layout, there and back, runs resumed from them."""

import sys

import numpy as np
import pytest
from net_helpers import inputs, ip, layer
from numpy.testing import assert_array_equal
from solver_helpers import make_param

import minicaffe as caffe
from minicaffe.errors import BackendError, FileError, WeightsError
from minicaffe.proto import hdf5

h5py = pytest.importorskip("h5py")

SHARED = "param { name: 'w' } param { name: 'b' }"
NET = inputs(x=(4, 5), label=(4,)) + ip("block/a", "x", 6) + ip("c", "block/a", 6, more=SHARED) \
    + ip("d", "c", 6, more=SHARED) + ip("e", "d") + layer("loss", "SoftmaxWithLoss", "e label")


def make_net(seed, **options):
    return caffe.Net(make_param(NET).net_param, caffe.TRAIN, seed=seed, **options)


def assert_same_weights(a, b):
    for name, blobs in a.params.items():
        for x, y in zip(blobs, b.params[name], strict=True):
            assert_array_equal(x.data, y.data)


def names(file):
    found = []
    file.visit(found.append)
    return set(found)


class TestWeights:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_there_and_back(self, tmp_path, dtype):
        net, other = make_net(1, dtype=dtype), make_net(2, dtype=dtype)
        net.save_hdf5(tmp_path / "net.caffemodel.h5")
        other.load_hdf5(str(tmp_path / "net.caffemodel.h5"))
        assert_same_weights(net, other)
        assert_same_weights(net, make_net(3, dtype=dtype,
                                          weights=str(tmp_path / "net.caffemodel.h5")))

    def test_layout_is_caffes(self, tmp_path):
        net = make_net(1)
        net.save_hdf5(tmp_path / "x", write_diff=True)
        with h5py.File(tmp_path / "x") as file:
            own = {"block/a/0", "block/a/1", "c/0", "c/1", "e/0", "e/1"}
            groups = {"input", "block", "block/a", "c", "d", "e", "loss"} - {"input"} | \
                set(net._layer_names)
            assert names(file["data"]) == own | groups
            assert names(file["diff"]) == own | groups | {"d/0", "d/1"}
            assert set(file) == {"data", "diff"}
            assert file["data/block/a/0"].dtype == np.float32
            assert_array_equal(file["data/c/0"][()], net.params["c"][0].data)

    def test_a_file_as_caffe_writes_it(self, tmp_path):
        """Made with h5py: groups for layers without blobs, layers the net does not have."""
        rng = np.random.default_rng(0)
        arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in
                  {"c/0": (6, 6), "c/1": (6,), "e/0": (3, 6), "e/1": (3,)}.items()}
        with h5py.File(tmp_path / "x.h5", "w") as file:
            for name in "input", "c", "d", "e", "loss", "elsewhere":
                file.create_group(f"data/{name}")
            file["data/elsewhere/0"] = np.ones(3, np.float32)
            for name, array in arrays.items():
                file[f"data/{name}"] = array
        net = make_net(1)
        first = net.params["block/a"][0].data.copy()
        net.copy_from(tmp_path / "x.h5")
        for name, array in arrays.items():
            assert_array_equal(net.params[name[0]][int(name[2])].data, array)
        assert_array_equal(net.params["d"][0].data, arrays["c/0"])
        assert_array_equal(net.params["block/a"][0].data, first)

    def test_masks(self, tmp_path):
        net, other = make_net(1), make_net(2)
        net.params["c"][0].mask = np.arange(36).reshape(6, 6) % 2 == 0
        net.save_hdf5(tmp_path / "x.h5")
        other.copy_from(tmp_path / "x.h5")
        assert_array_equal(other.params["c"][0].mask, net.params["c"][0].mask)
        with h5py.File(tmp_path / "x.h5") as file:
            assert set(file["data/c"]) == {"0", "1"} and set(file["mask"]) == {"c"}

    @pytest.mark.parametrize("change, what", [
        (lambda f: f.pop("data"), "without the group 'data'"),
        (lambda f: f["data/e"].pop("0"), r"layer 'e', blob 0 has shape \(\) there"),
        (lambda f: f["data/e"].pop("1"), "layer 'e' has 1 blobs there, 2 in the net"),
        (lambda f: f.create_dataset("data/e/2", data=[1.0]), "layer 'e' has 3 blobs there"),
        (lambda f: f["data/c"].pop("1"), "layer 'c' has 1 blobs there, 2 in the net")])
    def test_what_does_not_fit(self, tmp_path, change, what):
        net, path = make_net(1), tmp_path / "x.h5"
        net.save_hdf5(path)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(FileError, match=f"{path}: .*{what}"):
            net.copy_from(path)

    def test_a_damaged_file(self, tmp_path):
        (tmp_path / "x.h5").write_bytes(hdf5.MAGIC + b"nothing more")
        with pytest.raises(FileError, match="x.h5: not a readable HDF5 file"):
            make_net(1).copy_from(tmp_path / "x.h5")
        with pytest.raises(FileError, match="none.h5: can't be read"):
            make_net(1).copy_from(tmp_path / "none.h5")

    def test_without_h5py(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(BackendError, match=r'h5py: pip install "minicaffe\[hdf5\]"'):
            make_net(1).save_hdf5(tmp_path / "x.h5")
        assert not list(tmp_path.iterdir())


def make_solver(folder, source=NET, **fields):
    """A solver on inputs that stay as they are."""
    defaults = dict(type="Adam", base_lr=0.1, random_seed=3, snapshot_prefix=f"{folder}/run",
                    lr_policy="multistep", gamma=0.5, stepvalue=[2, 5])
    solver = caffe.get_solver(make_param(source, **{**defaults, **fields}))
    rng = np.random.default_rng(5)
    for name in solver.net.inputs:
        blob = solver.net.blobs[name]
        blob.data[...] = rng.integers(3, size=blob.shape) if name == "label" else \
            rng.normal(size=blob.shape)
    return solver


DROPPED = NET.replace("type: 'SoftmaxWithLoss'", "type: 'SoftmaxWithLoss'") + layer(
    "drop", "Dropout", "x", "dropped") + ip("f", "dropped") + layer("more", "SoftmaxWithLoss", "f label")
RECURRENT = inputs(x=(3, 2, 4), cont=(3, 2), label=(3, 2)) + layer(
    "lstm", "LSTM", "x cont", "lstm",
    "recurrent_param { num_output: 3 weight_filler { type: 'xavier' } }") + layer(
    "loss", "SoftmaxWithLoss", "lstm label", more="softmax_param { axis: 2 }")


@pytest.mark.parametrize("source", [DROPPED, RECURRENT], ids=["dropout", "hidden state"])
@pytest.mark.parametrize("form", ["HDF5", "BINARYPROTO"])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path, source, form):
    solver = make_solver(tmp_path, source, snapshot_format=form)
    if source is RECURRENT:
        solver.net.blobs["cont"].data[...] = 1
    solver.step(3)
    path = solver.snapshot()
    assert path == f"{tmp_path}/run_iter_3.solverstate" + ".h5" * (form == "HDF5")
    solver.step(3)
    other = make_solver(tmp_path, source, random_seed=9)
    if source is RECURRENT:
        other.net.blobs["cont"].data[...] = 1
    other.restore(path)
    assert other.iter == 3
    other.step(3)
    assert_same_weights(solver.net, other.net)
    for a, b in zip(solver.history, other.history, strict=True):
        assert_array_equal(a, b)


def test_the_state_file_is_caffes(tmp_path):
    solver = make_solver(tmp_path, snapshot_format="HDF5", snapshot_diff=True)
    solver.step(3)
    with h5py.File(solver.snapshot()) as file:
        assert file["iter"].dtype == file["current_step"].dtype == np.int32
        assert file["iter"][()].tolist() == [3] and file["current_step"][()].tolist() == [1]
        kind = file["learned_net"].id.get_type()
        name = f"{tmp_path}/run_iter_3.caffemodel.h5"
        assert kind.get_size() == len(name) + 1 and not kind.is_variable_str()
        assert kind.get_strpad() == h5py.h5t.STR_NULLTERM and file["learned_net"].shape == ()
        assert file["learned_net"][()].decode() == name
        assert set(file["history"]) == {str(i) for i in range(len(solver.history))}
        shapes = [blob.shape for blob in solver.net.learnable_params] * 2
        assert [file[f"history/{i}"].shape for i in range(len(shapes))] == shapes
    with h5py.File(name) as file:
        assert_array_equal(file["diff/e/0"][()], solver.net.params["e"][0].diff)


def test_a_state_of_caffes_own(tmp_path):
    """Without our fields; the weights lie beside it."""
    solver = make_solver(tmp_path, snapshot_format="HDF5")
    solver.step(3)
    path = solver.snapshot()
    with h5py.File(path, "r+") as file:
        del file["minicaffe"]
    other = make_solver(tmp_path / "other", random_seed=8)
    other.restore(path)
    assert other.iter == 3 and other.learning_rate.current_step == 1
    assert_same_weights(solver.net, other.net)
    with h5py.File(path, "r+") as file:
        del file["iter"]
    with pytest.raises(FileError, match="h5: is an HDF5 file, but no .solverstate.h5"):
        other.restore(path)


def test_weights_that_clash_name_the_file(tmp_path):
    net = make_net(1)
    net.save_hdf5(tmp_path / "x.h5")
    small = caffe.Net(make_param(inputs(x=(4, 5)) + ip("e", "x")).net_param, caffe.TEST)
    with pytest.raises(WeightsError, match=r"x.h5: layer 'e', blob 0 has shape \(3, 6\) there"):
        small.copy_from(tmp_path / "x.h5")
