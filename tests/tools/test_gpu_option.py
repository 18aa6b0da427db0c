"""--gpu in every tool that runs a net, on the stand-in for the GPU or on a real one; and without any."""

import json
import sys

import numpy as np
import pytest

from minicaffe import backend
from minicaffe.proto import weights

INPUTS = """layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "c" type: "InnerProduct" bottom: "data" top: "c"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }"""
COMMANDS = {
    "train": ["net.prototxt", "solver.prototxt"],
    "test": ["net.prototxt", "out/net_iter_8.caffemodel", "--iterations", "2"],
    "time": ["net.prototxt", "--iterations", "1", "--json", "times.json"],
    "check_gradients": ["inputs.prototxt", "--samples", "3"],
    "extract_features": ["out/net_iter_8.caffemodel", "net.prototxt", "ip", "features", "2"],
    "inspect_gradients": ["net.prototxt", "solver.prototxt", "--iterations", "2", "--out", "g"]}


@pytest.fixture
def trained(folder, run_tool):
    """The folder with weights in out/, trained on the CPU."""
    (folder / "inputs.prototxt").write_text(INPUTS)
    assert run_tool("train", *COMMANDS["train"], "--gpu", "cpu").code == 0
    return folder


@pytest.fixture
def device(xp):
    if xp is np:
        pytest.skip("the CPU's is tested elsewhere")
    backend.set_mode_cpu()
    return xp


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_tool_runs_on_the_gpu(trained, device, run_tool, name):
    if name == "extract_features":
        pytest.importorskip("lmdb")                      # which it writes
    result = run_tool(name, *COMMANDS[name], "--gpu", "0")
    assert result.code == 0, result.err
    assert backend.mode() == "gpu"


def numbers(text):
    return [float(line.split("=")[-1].split()[0]) for line in text.splitlines() if " = " in line]


def test_outputs_are_the_cpu_s_within_rounding(trained, device, run_tool):
    on_gpu = run_tool("test", *COMMANDS["test"], "--gpu", "0").out
    on_cpu = run_tool("test", *COMMANDS["test"], "--gpu", "cpu").out
    assert len(numbers(on_gpu)) == len(numbers(on_cpu)) == 6
    np.testing.assert_allclose(numbers(on_gpu), numbers(on_cpu), rtol=1e-4)


def test_training_gives_the_cpu_s_weights_within_rounding(trained, device, run_tool):
    model = trained / "out" / "net_iter_8.caffemodel"
    on_cpu = weights.read_net_weights(str(model))
    assert run_tool("train", *COMMANDS["train"], "--gpu", "0", "--log", "run.jsonl").code == 0
    on_gpu = weights.read_net_weights(str(model))
    for mine, expected in zip(on_gpu.layer, on_cpu.layer):
        for a, b in zip(mine.blobs, expected.blobs):
            np.testing.assert_allclose(weights.blob_to_array(a), weights.blob_to_array(b),
                                       rtol=1e-3, atol=1e-5)
    lines = [json.loads(line) for line in (trained / "run.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)


@pytest.mark.parametrize("there, then", [("cpu", "0"), ("0", "cpu")])
def test_a_run_goes_on_where_the_other_back_end_left_it(trained, device, run_tool, there, then):
    train = ["train", *COMMANDS["train"], "--set"]
    whole = run_tool(*train, "max_iter=8", "--gpu", "cpu")
    assert whole.code == 0
    model = trained / "out" / "net_iter_8.caffemodel"
    expected = weights.read_net_weights(str(model))
    assert run_tool(*train, "max_iter=5", "--gpu", there).code == 0
    model.unlink()
    resumed = run_tool(*train, "max_iter=8", "--gpu", then, "--snapshot",
                       "out/net_iter_5.solverstate")
    assert resumed.code == 0, resumed.err
    for mine, other in zip(weights.read_net_weights(str(model)).layer, expected.layer):
        for a, b in zip(mine.blobs, other.blobs):
            np.testing.assert_allclose(weights.blob_to_array(a), weights.blob_to_array(b),
                                       rtol=1e-3, atol=1e-5)


def test_the_option_goes_before_the_solver_s_mode(trained, device, run_tool):
    (trained / "solver.prototxt").write_text((trained / "solver.prototxt").read_text()
                                             + "solver_mode: GPU")
    assert run_tool("train", "net.prototxt", "solver.prototxt", "--gpu", "cpu").code == 0
    assert backend.mode() == "cpu"
    assert run_tool("train", "net.prototxt", "solver.prototxt").code == 0
    assert backend.mode() == "gpu"


# ---- without CuPy

@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setattr(backend, "_cupy", None)
    monkeypatch.setitem(sys.modules, "cupy", None)           # its import fails


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_without_cupy_it_is_one_sentence(trained, no_cupy, run_tool, name):
    result = run_tool(name, *COMMANDS[name], "--gpu", "0")
    assert result.code == 1 and result.out == ""
    assert result.err.startswith("error: the GPU needs CuPy, which can't be imported")
    assert result.err.count("\n") == 1 and "minicaffe[gpu13]" in result.err


def test_a_solver_that_asks_for_the_gpu_never_runs_on_the_cpu(trained, no_cupy, run_tool):
    (trained / "solver.prototxt").write_text((trained / "solver.prototxt").read_text()
                                             + "solver_mode: GPU")
    result = run_tool("train", "net.prototxt", "solver.prototxt")
    assert result.code == 1 and "error: the GPU needs CuPy" in result.err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_number_that_is_none(trained, run_tool, name):
    result = run_tool(name, *COMMANDS[name], "--gpu", "first")
    assert result.code == 1
    assert result.err == "error: --gpu first: must be the number of a GPU, or cpu\n"


def test_a_graph_on_the_cpu(trained, run_tool):
    result = run_tool("train", "net.prototxt", "solver.prototxt", "--cuda-graph", "--gpu", "cpu")
    assert result.code == 1
    assert "solver.prototxt: a CUDA graph needs the GPU" in result.err
