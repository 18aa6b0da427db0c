"""LeNet on MNIST from Caffe's own initial weights: its losses, gradients and weights again.

The first 640 pictures of MNIST, the first ten batches, lie in tests/golden/mnist640; the whole
run of 100 iterations needs the data set itself (python tools/get_data.py mnist).
"""

import pathlib

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.datasets.base import data_folder
from minicaffe.datasets.idx import find_images
from minicaffe.solver.options import read_with_net

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
SOLVER = "prototxt/lenet/solver.prototxt"
MNIST = data_folder() / "mnist"


def golden(name):
    return np.load(GOLDEN / "nets" / "lenet" / f"{name}.npz")


def lenet(monkeypatch, folder, change):
    """The repository's LeNet solver with Caffe's initial weights, data being in `folder`/mnist."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MINICAFFE_DATA", str(folder))
    param = read_with_net(SOLVER)
    param.ClearField("snapshot_prefix")
    param.snapshot, param.snapshot_after_train, param.display = 0, False, 0
    param.test_initialization = False
    change(param)
    solver = caffe.get_solver(SOLVER, param=param)
    solver.net.copy_from(str(GOLDEN / "nets" / "lenet" / "lenet_init.caffemodel"))
    return solver


def without_tests(param):
    param.ClearField("test_iter")


@pytest.fixture
def ten_batches(monkeypatch, tmp_path):
    (tmp_path / "mnist").symlink_to(GOLDEN / "mnist640")
    solver = lenet(monkeypatch, tmp_path, without_tests)
    yield solver
    solver.close()


def distance(array, expected):
    """Largest difference over the largest magnitude."""
    return np.abs(array - expected).max() / np.abs(expected).max()


def follow(solver, iterations):
    """Train; the loss must be Caffe's at every iteration, and the rate."""
    trajectory = golden("trajectory")
    for k in range(iterations):
        assert solver.learning_rate(k) == pytest.approx(trajectory["lr"][k], rel=1e-6)
        solver.step(1)
        assert solver.smoothed_loss == pytest.approx(trajectory["loss"][k], rel=1e-4), k


def test_the_first_batch_and_its_gradients(ten_batches):
    net, expected, trajectory = ten_batches.net, golden("grad_iter0"), golden("trajectory")
    net.clear_param_diffs()
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data[:2], trajectory["batch0_data"])
    np.testing.assert_array_equal(net.blobs["label"].data, trajectory["batch0_label"])
    net.backward()
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            norm = np.linalg.norm(blob.diff.astype(float))
            assert norm == pytest.approx(expected[f"{name}_{i}_norm"], rel=1e-5), (name, i)
            assert distance(blob.diff, expected[f"{name}_{i}"]) <= 2e-5, (name, i)


def test_ten_iterations(ten_batches):
    follow(ten_batches, 10)


@pytest.mark.skipif(find_images(MNIST, "train") is None or find_images(MNIST, "test") is None,
                    reason=f"needs MNIST in {MNIST}: python tools/get_data.py mnist")
def test_a_hundred_iterations_and_the_test_set(monkeypatch):
    solver = lenet(monkeypatch, data_folder(), lambda param: setattr(param, "max_iter", 100))
    follow(solver, 100)
    expected = golden("final_params")
    for name in "conv1", "ip1", "ip2":
        for i, blob in enumerate(solver.net.params[name]):
            known = expected[f"{name}_{i}"]                    # of ip1 the first 20 rows
            assert distance(blob.data[:len(known)], known) <= 2e-5, (name, i)
    means = solver.test()
    assert means["accuracy"] == pytest.approx(0.9142, abs=2e-4)
    assert means["loss"] == pytest.approx(golden("trajectory")["test_loss"], rel=1e-4)
    solver.close()
