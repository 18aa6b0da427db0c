import json
import logging

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.analysis import plot_style
from minicaffe.analysis.training_log import read_log
from minicaffe.analysis.training_plot import smooth

# The original Caffe's lines, of its older and its newer form.
CAFFE = """\
I0213 10:11:12.123456  4711 caffe.cpp:218] Using GPUs 0
I0213 10:11:13.123456  4711 solver.cpp:337] Iteration 0, Testing net (#0)
I0213 10:11:13.523456  4711 solver.cpp:404]     Test net output #0: accuracy = 0.0882
I0213 10:11:13.523456  4711 solver.cpp:404]     Test net output #1: loss = 2.35831 (* 1 = 2.35831 loss)
I0213 10:11:13.523456  4711 solver.cpp:337] Iteration 0, Testing net (#1)
I0213 10:11:13.523456  4711 solver.cpp:404]     Test net output #0: accuracy = 0.1
I0213 10:11:13.623456  4711 solver.cpp:228] Iteration 0, loss = 2.34
I0213 10:11:13.623456  4711 solver.cpp:244]     Train net output #0: error = 2.25 (* 1 = 2.25 loss)
I0213 10:11:13.623456  4711 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I0213 10:11:14.123456  4711 solver.cpp:218] Iteration 100 (1.5e+02 iter/s, 8.1s/100 iters), loss = .21
I0213 10:11:14.123456  4711 sgd_solver.cpp:105] Iteration 100, lr = 1e-05
I0213 10:11:14.623456  4711 solver.cpp:337] Iteration 200, Testing net (#0)
I0213 10:11:14.623456  4711 solver.cpp:404]     Test net output #0: accuracy = 0.97
I0213 10:11:14.623456  4711 solver.cpp:404]     Test net output #1: entropy = 0.1 (* 1 = 0.1 loss)
I0213 10:11:14.623456  4711 solver.cpp:404]     Test net output #2: prob = 0.1
I0213 10:11:14.623456  4711 solver.cpp:404]     Test net output #3: prob = 0.3
I0213 10:11:14.723456  4711 solver.cpp:218] Iteration 200 (12.3 iter/s, 8.1s/100 iters), loss = -nan
I0213 10:11:14.823456  4711 solver.cpp:347]     Test net output #"""


def same(curve, points):
    assert_array_equal(curve, np.array(points, float).reshape(-1, 2))


def test_caffes_own_log(tmp_path):
    path = tmp_path / "a.b.log"
    path.write_text(CAFFE)
    log = read_log(path)
    assert (log.name, log.path) == ("a.b", str(path))
    same(log.loss, [(0, 2.34), (100, 0.21), (200, np.nan)])
    same(log.lr, [(0, 0.01), (100, 1e-5)])
    assert set(log.train) == {"error"}
    same(log.train["error"], [(0, 2.25)])
    assert set(log.test) == {(0, "accuracy"), (0, "loss"), (1, "accuracy"), (0, "entropy"),
                             (0, "prob")}
    same(log.test[0, "accuracy"], [(0, 0.0882), (200, 0.97)])
    same(log.test[1, "accuracy"], [(0, 0.1)])
    same(log.test[0, "prob"], [(200, 0.2)])
    assert log.losses == {"loss", "entropy"}


def test_our_two_logs_say_the_same(train, folder, caplog):
    with caplog.at_level(logging.INFO, "minicaffe"):
        result = train("--log", "run.jsonl")
    assert result.code == 0
    (folder / "run.log").write_text(result.err)
    text, lines = read_log("run.log"), read_log("run.jsonl")
    assert_array_equal(lines.loss[:, 0], [0, 2, 4, 6, 8])
    assert_array_equal(lines.test[0, "accuracy"][:, 0], [0, 4, 8])
    assert text.losses == lines.losses == {"loss"}
    assert_allclose(text.loss, lines.loss, rtol=1e-5)
    assert_allclose(text.lr, lines.lr, rtol=1e-5)
    assert set(text.test) == set(lines.test) == {(0, "accuracy"), (0, "loss")}
    for key in text.test:
        assert_allclose(text.test[key], lines.test[key], rtol=1e-5)
    assert_allclose(text.train["loss"], lines.train["loss"], rtol=1e-5)


def test_resumed_run_replaces_what_it_goes_back_behind(tmp_path):
    events = [{"iteration": i, "loss": 1.0, "lr": 0.1} for i in range(0, 100, 10)]
    events.insert(9, {"iteration": 80, "test_net": 0, "outputs": {"a": [0.5, 0.7]}})
    events += [{"iteration": 60, "loss": 2.0}, {"iteration": 60, "loss": 3.0, "lr": 0.2}]
    path = tmp_path / "log"
    path.write_text("\n".join(map(json.dumps, events)) + '\n{"iteration": 7')      # killed
    log = read_log(path)
    same(log.loss, [(i, 1) for i in range(0, 60, 10)] + [(60, 3)])
    same(log.lr, [(i, 0.1) for i in range(0, 60, 10)] + [(60, 0.2)])
    same(log.test[0, "a"], [])


def test_smooth():
    rng = np.random.default_rng(0)
    assert smooth(np.exp(rng.normal(size=39)))[0] is None              # few points
    assert smooth(np.linspace(2, 1, 100))[0] is None                   # not noisy
    values = np.exp(rng.normal(size=100))
    values[50] = np.nan
    means, window = smooth(values)
    assert window == 5
    assert means[0] == values[0] and means[1] == pytest.approx(values[:3].mean())
    assert means[20] == pytest.approx(values[18:23].mean())
    assert means[50] == pytest.approx(values[[48, 49, 51, 52]].mean())
    assert means[99] == pytest.approx(values[97:].mean())


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: (
        figures.append(figure), save(figure, *arguments, **options)))
    return figures


def test_picture_of_two_runs(run_tool, tmp_path, monkeypatch, drawn):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "caffe.log").write_text(CAFFE)
    rows = [{"iteration": i, "loss": 3 - i / 100, "lr": 0.1, "outputs": {}} for i in range(200)]
    (tmp_path / "ours.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run_tool("plot_log", "caffe.log", "ours.jsonl", "--out", "both.png")
    assert result.code == 0 and result.out == "both.png\n" and result.err == ""
    assert matplotlib.image.imread("both.png").shape[1] > 800
    (figure,) = drawn
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "loss", "test accuracy, %", "other test outputs", "learning rate"]
    assert figure.axes[-1].get_xlabel() == "iteration"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["caffe", "ours"]
    same(np.transpose(figure.axes[1].lines[0].get_data()), [(0, 8.82), (200, 97)])
    assert [text.get_text() for text in figure.axes[1].texts] == ["97", "10"]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["training, each display", "test loss (test net #0)",
                      "test entropy (test net #0)"]
    assert figure.axes[3].get_yscale() == "log" and figure.axes[0].get_yscale() == "log"


def test_runs_of_one_name_go_by_their_paths(run_tool, tmp_path, monkeypatch, drawn):
    monkeypatch.chdir(tmp_path)
    for name in "xy":
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text('{"iteration": 5, "loss": 0.5}')
    assert run_tool("plot_log", "x/log", "y/log").code == 0
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["x/log", "y/log"]
    assert (tmp_path / "training.png").exists()


def test_accuracy_of_the_start_does_not_flatten_the_rest(run_tool, tmp_path, drawn):
    rows = [{"iteration": i, "test_net": 0, "outputs": {"accuracy": a}}
            for i, a in [(0, 0.1), (500, 0.96), (1000, 0.98), (1500, 0.99)]]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, rows)))
    assert run_tool("plot_log", tmp_path / "log", "--out", tmp_path / "log.png").code == 0
    low, high = drawn[0].axes[0].get_ylim()
    assert 95 < low < 96 and 99 < high < 100


@pytest.mark.parametrize("value, text", [(0.001, "0.001"), (1e-5, "1e-5"), (20000, "20000"),
                                         (1e20, "1e20"), (1e-10, "1e-10"), (0.25, "0.25")])
def test_plain_numbers(value, text):
    assert plot_style.plain(value) == text


@pytest.mark.parametrize("content, message", [
    (None, "x: can't be read: no such file or directory"),
    (b"", "x: no lines of a training log in it"),
    (b"hello\nIteration 5, loss = 3\n", "x: no lines of a training log in it"),
    (b"\0\xff\xfe" * 50, "x: no lines of a training log in it"),
    (b'{"iteration": 1, "loss": 2}\n{"iter": 2}\n{}\n', "x:2: not a JSON line of a training log"),
    (b'{"iteration": 1, "loss": 2}\n{"iteration": 2, "loss": "a"}\n{}\n', "x:2: not a JSON line"),
])
def test_bad_logs(run_tool, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    result = run_tool("plot_log", "x")
    assert result.code == 1 and result.err.startswith(f"error: {message}")
    assert result.err.count("\n") == 1 and not (tmp_path / "training.png").exists()


def test_picture_that_can_not_be_written(run_tool, tmp_path):
    (tmp_path / "log").write_text('{"iteration": 5, "loss": 0.5}')
    result = run_tool("plot_log", tmp_path / "log", "--out", tmp_path / "no" / "x.png")
    assert result.code == 1 and "x.png: can't be written: no such file" in result.err
