import importlib.util
import pathlib

import numpy as np
import pytest

from minicaffe import Net, cli
from minicaffe.analysis.random_inputs import fill_inputs
from minicaffe.layers import layer_class

ROOT = pathlib.Path(__file__).parents[2]

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 3 dim: 2 } shape { dim: 4 dim: 1 } } }
layer { name: "flat" type: "Flatten" bottom: "label" top: "flat" flatten_param { axis: 0 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "ip" top: "ip" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "flat" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
NO_LOSS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "tanh" type: "TanH" bottom: "data" top: "tanh" }
"""


@pytest.fixture
def run(tmp_path, capsys):
    """run(net text, options ...): the exit code, lines of output, and of errors."""
    spec = importlib.util.spec_from_file_location("check_gradients",
                                                  ROOT / "tools" / "check_gradients.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run_tool(text, *options):
        (tmp_path / "net.prototxt").write_text(text)
        code = cli.run(tool.main, [str(tmp_path / "net.prototxt"), *options])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()
    return run_tool


def spoil(monkeypatch, type_name):
    cls = layer_class(type_name)
    original = cls.backward

    def backward(self, top, propagate_down, bottom):
        original(self, top, propagate_down, bottom)
        bottom[0].diff[...] *= 1.5
    monkeypatch.setattr(cls, "backward", backward)


def test_right_gradients(run):
    code, lines, errors = run(NET)
    assert code == 0 and not errors
    assert lines[0].split()[:3] == ["layer", "blob", "entries"]
    assert [line.split()[0] for line in lines[1:-2]] == ["ip", "ip", "tanh", "ip_tanh_0_split",
                                                         "loss"]
    assert lines[-2:] == ["57 entries of 5 blobs compared, 0 of them at a kink",
                          "all gradients agree"]


def test_a_clash_ends_with_exit_1_and_the_layer_to_begin_with(run, monkeypatch):
    spoil(monkeypatch, "TanH")
    code, lines, errors = run(NET)
    assert code == 1 and not errors
    assert [line.split()[0] for line in lines if line.endswith("<- clash")] == ["ip", "ip", "tanh"]
    assert lines[-1] == ("3 gradients clash with the differences: begin with 'ip' of layer 'tanh', "
                         "the nearest to the loss")


def test_one_layer_and_few_samples(run):
    code, lines, _ = run(NET, "--layer", "ip", "--samples", "2")
    assert code == 0 and [line.split()[:4] for line in lines[1:-2]] == [
        ["ip", "weights", "0", "2"], ["ip", "weights", "1", "2"]]


def test_a_net_without_loss(run, monkeypatch):
    code, lines, _ = run(NO_LOSS)
    assert code == 0 and lines[1].split()[:3] == ["tanh", "data", "12"]
    spoil(monkeypatch, "TanH")
    assert run(NO_LOSS)[0] == 1


def test_float32_and_seeds(run):
    assert run(NET, "--dtype", "float32")[0] == 0
    first, again, other = run(NET), run(NET), run(NET, "--seed", "5")
    assert first == again and first[1] != other[1] and other[0] == 0


@pytest.mark.parametrize("text, options, message", [
    (NET, ["--layer", "ipp"], "the net has no layer 'ipp'; its layers are data, "),
    (NET, ["--layer", "accuracy"], "layer 'accuracy' has no gradient to check"),
    (NET, ["--samples", "0"], "--samples 0 must be at least 1"),
    (NET.replace("TanH", "TahH"), [], "unknown layer type 'TahH': did you mean 'TanH'?")])
def test_errors_take_one_line(run, text, options, message):
    code, lines, errors = run(text, *options)
    assert code == 1 and not lines
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]


def test_inputs_are_gaussian_and_labels_in_range(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    net = Net(str(tmp_path / "net.prototxt"), "TRAIN")
    seen = set()
    for seed in range(20):
        fill_inputs(net, np.random.default_rng(seed))
        seen |= set(net.blobs["label"].data.ravel().tolist())
        assert net.blobs["data"].data.std() > 0.4
    assert seen == {0, 1, 2}
