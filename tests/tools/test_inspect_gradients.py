import re

import matplotlib.image
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe
from minicaffe.analysis.gradient_history import GradientHistory, norm, share_of_zeros, train_only
from minicaffe.analysis.gradient_plot import parameter_looks
from minicaffe.solver import get_solver

NAMES = ["conv[0]", "conv[1]", "ip[0]", "ip[1]"]


@pytest.fixture
def inspect(run_tool, folder):
    return lambda *more: run_tool("inspect_gradients", "net.prototxt", "solver.prototxt", *more)


def test_table_arrays_and_picture(inspect, folder):
    result = inspect("--iterations", 5, "--out", "g")
    assert result.code == 0 and result.err == ""
    assert sorted(p.name for p in folder.glob("g*")) == ["g.npz", "g.png"]
    assert not (folder / "out").exists()                               # no snapshots
    arrays = np.load("g.npz")
    assert list(arrays["names"]) == NAMES
    assert list(arrays["shapes"]) == ["4x1x3x3", "4", "3x36", "3"]
    assert_array_equal(arrays["iterations"], range(5))
    lines = result.out.splitlines()
    loss = arrays["loss"]
    assert lines[0] == f"Small, SGD, 5 iterations, loss {loss[0]:.4g} to {loss[-1]:.4g}"
    assert lines[-1] == "g.npz, g.png" and len(lines) == 8
    for j, line in enumerate(lines[3:7]):
        assert line.startswith(NAMES[j] + " ")
        numbers = [float(x) for x in re.findall(r"\S+", line.split(str(arrays["shapes"][j][-1]), 1)[1])
                   if x not in "x"][-9:]
        norms = [arrays[f][k, j] for f in ("weight_norm", "gradient_norm", "update_norm")
                 for k in (0, -1)]
        assert_allclose(numbers[:6], norms, rtol=6e-3)
        assert_allclose(numbers[6], np.nanmedian(arrays["ratio"][:, j]), rtol=6e-2)
    assert len({len(line) for line in lines[1:7]}) == 1                # aligned
    assert matplotlib.image.imread("g.png").shape[1] > 1000


def test_quantities_are_what_they_say(folder):
    """Against a run by hand: momentum, decay, lr_mult, iter_size and clipping in play."""
    (folder / "solver.prototxt").write_text(
        (folder / "solver.prototxt").read_text() + "iter_size: 2 clip_gradients: 0.1")
    history = GradientHistory(get_solver("solver.prototxt"))
    history.run(3)
    net = get_solver("solver.prototxt").net
    blobs = net.learnable_params
    velocity = [np.zeros(blob.shape) for blob in blobs]
    for k in range(3):
        net.clear_param_diffs()
        for _ in range(2):
            net.forward()
            net.backward()
        gradients = [blob.diff.astype(np.float64) for blob in blobs]
        assert_allclose(history.weight_norm[k], [norm(blob.data) for blob in blobs], rtol=1e-5)
        assert_allclose(history.gradient_norm[k], [np.linalg.norm(g) for g in gradients], rtol=1e-4)
        assert_allclose(history.gradient_zeros[k], [(g == 0).mean() for g in gradients])
        assert_allclose(history.weight_zeros[k], [(b.data == 0).mean() for b in blobs])
        total = np.sqrt(sum((g**2).sum() for g in gradients))
        assert total > 0.1                                             # the clipping acts
        for j, (blob, g) in enumerate(zip(blobs, gradients)):
            update = 0.9 * velocity[j] + 0.05 * net.params_lr[j] * (
                g * 0.1 / total / 2 + 0.001 * blob.data)
            velocity[j] = update
            assert_allclose(history.update_norm[k, j], np.linalg.norm(update), rtol=1e-4)
            weight = norm(blob.data)
            assert_allclose(history.ratio[k, j], np.linalg.norm(update) / weight if weight else
                            np.nan, rtol=1e-4)
            blob.data[...] = blob.data - update
    assert np.isnan(history.ratio[0, 1]) and history.weight_zeros[0, 1] == 1


def test_same_training_as_without_looking(folder):
    solvers = [get_solver("solver.prototxt") for _ in range(2)]
    GradientHistory(solvers[0]).run(6)
    solvers[1].step(6)
    for mine, theirs in zip(*(solver.net.learnable_params for solver in solvers)):
        assert_array_equal(mine.data, theirs.data)
    for solver in solvers:
        solver.close()


def test_weights_and_settings(inspect, train, folder):
    train()
    weights = "out/net_iter_8.caffemodel"
    assert inspect("--iterations", 2, "--weights", weights, "--set", "base_lr=0").code == 0
    arrays = np.load("gradients.npz")
    trained = minicaffe.Net("net.prototxt", minicaffe.TRAIN, weights=weights)
    assert_allclose(arrays["weight_norm"][1], [norm(blob.data) for blob in trained.learnable_params])
    assert not arrays["update_norm"].any() and arrays["gradient_norm"].all()


def test_run_that_blows_up_is_shown_up_to_there(inspect, folder):
    result = inspect("--iterations", 50, "--set", "base_lr=1e15")
    assert result.code == 1 and "the loss is nan" in result.err
    assert result.err.count("\n") == 1 and result.err.startswith("error: solver.prototxt: iteration")
    assert 1 <= len(np.load("gradients.npz")["iterations"]) < 50
    assert (folder / "gradients.png").exists()


def test_tests_and_snapshots_are_left_out(folder):
    solver = get_solver("solver.prototxt")
    param = solver.param
    param.snapshot = 1
    train_only(param)
    assert not (param.test_iter or param.test_interval or param.snapshot or param.display)
    assert not (param.snapshot_prefix or param.snapshot_after_train)
    assert param.net == "net.prototxt" and param.random_seed == 3


def test_small_numbers_do_not_vanish():
    assert norm(np.array([3e-30, 4e-30], np.float32)) == pytest.approx(5e-30, rel=1e-6, abs=0)
    assert share_of_zeros(np.array([[0, 1], [1e-40, 0]])) == 0.5
    assert share_of_zeros(np.empty((0, 3))) == 0


def test_looks_differ():
    names = [f"layer{i}[{j}]" for i in range(12) for j in range(3)]
    looks = {(look["color"], look["linestyle"]) for look in parameter_looks(names)}
    assert len(looks) == 36
    first, second = parameter_looks(["a[0]", "a[1]"])
    assert first["color"] == second["color"] and first["linestyle"] != second["linestyle"]


@pytest.mark.parametrize("arguments, message", [
    (["--iterations", "0"], "iterations must be at least 1, not 0"),
    (["--weights", "missing"], "missing: can't be read: no such file"),
    (["--set", "lr=1"], "--set lr=1: must be FIELD=VALUE"),
    (["--out", "no/where", "--iterations", "1"], "no/where.npz: can't be written: no such file"),
    (["third.prototxt"], "unrecognized arguments: third.prototxt"),
])
def test_bad_input_is_one_line(inspect, arguments, message):
    result = inspect(*arguments)
    assert result.code == 1 and message in result.err
    assert result.err.startswith("error: ") and result.err.count("\n") == 1


@pytest.mark.parametrize("out", ["", "some/"])
def test_out_needs_a_name(inspect, folder, out):
    result = inspect("--iterations", 1, "--out", out)
    assert result.code == 1 and f"--out '{out}' ends without a name, as in {out}gradients" in result.err
    assert not list(folder.glob("**/.*"))


def test_weights_for_no_layer(inspect, folder):
    (folder / "other.prototxt").write_text('''
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }
        layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
                inner_product_param { num_output: 2 } }''')
    minicaffe.Net("other.prototxt", minicaffe.TRAIN).save("other.caffemodel")
    result = inspect("--iterations", 1, "--weights", "other.caffemodel")
    assert (result.code, result.err) == (1, "error: other.caffemodel: holds no weights for any layer "
                                            "of the net\n")
