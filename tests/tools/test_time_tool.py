import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import minicaffe
from minicaffe.analysis import timing


def test_table_and_json(run_tool, folder):
    result = run_tool("time", "net.prototxt", "--iterations", 4, "--json", "t.json")
    assert result.code == 0 and result.err == ""
    times = json.loads((folder / "t.json").read_text())
    assert (times["net"], times["phase"], times["iterations"]) == ("net.prototxt", "TRAIN", 4)
    layers = {layer["name"]: layer for layer in times["layers"]}
    assert list(layers) == ["d", "conv", "pool", "ip", "loss"]
    assert layers["d"]["backward"] is None and layers["conv"]["backward"]["median"] > 0
    for name, layer in layers.items():
        span = layer["forward"]
        assert 0 < span["min"] <= span["median"]
        columns = next(line for line in result.out.splitlines() if line.startswith(name + " "))
        assert columns.split()[1:4] == [layer["type"], f"{span['median']:.3f}", f"{span['min']:.3f}"]
    for what, key in (("Forward pass", "forward"), ("Backward pass", "backward"),
                      ("Forward-Backward", "forward_backward")):
        match = re.search(rf"^Average {what}: (\S+) ms", result.out, re.M)
        assert match[1] == f"{times[key]['mean']:.3f}"


def test_phase(run_tool, folder):
    assert "accuracy" in run_tool("time", "net.prototxt", "--phase", "TEST", "--iterations", 1).out
    assert "accuracy" not in run_tool("time", "net.prototxt", "--iterations", 1).out


def test_numbers(folder, monkeypatch):
    """The clock goes 1 ms a look, and 5 ms in the convolution's backward."""
    clock = [0.0]

    def tick():
        clock[0] += 0.001
        return clock[0]

    net = minicaffe.Net("net.prototxt", minicaffe.TRAIN)
    conv, backward = net.layer_dict["conv"], net.layer_dict["conv"].backward

    def slow(*arguments):
        clock[0] += 0.004
        backward(*arguments)

    monkeypatch.setattr(conv, "backward", slow)
    monkeypatch.setattr(timing.time, "perf_counter", tick)
    times = timing.time_net(net, iterations=7, warm_up=2)
    net.close()
    assert [layer.forward for layer in times.layers] == [timing.Span(1, 1, 1)] * 5
    assert times.layers[1].backward == timing.Span(5, 5, 5)
    assert times.layers[0].backward is None and times.layers[4].backward == timing.Span(1, 1, 1)
    assert times.forward.median == 5 and times.backward.median == 9
    assert times.forward_backward.median == 14 and times.iterations == 7


def test_warm_up_does_not_count_and_passes_are_the_nets_own(folder):
    net, other = [minicaffe.Net("net.prototxt", minicaffe.TRAIN, seed=1) for _ in range(2)]
    timing.time_net(net, iterations=2, warm_up=1)
    for _ in range(3):
        other.clear_param_diffs()
        other.forward()
        other.backward()
    for name, blobs in net.params.items():
        for mine, theirs in zip(blobs, other.params[name]):
            np.testing.assert_array_equal(mine.diff, theirs.diff)
            assert mine.diff.any()


@pytest.mark.parametrize("arguments, message", [
    ([], "required: NET.prototxt"), (["missing"], "missing: can't be read: no such file"),
    (["."], ".: can't be read: is a directory"),
    (["net.prototxt", "--iterations", "0"], "iterations must be at least 1, not 0"),
    (["net.prototxt", "--phase", "BOTH"], "--phase: invalid choice: 'BOTH'"),
    (["net.prototxt", "--iterations", "1", "--json", "no/t.json"], "no/t.json: can't be written"),
])
def test_bad_input_is_one_line(run_tool, folder, arguments, message):
    result = run_tool("time", *arguments)
    assert result.code == 1 and message in result.err
    assert result.err.startswith("error: ") and result.err.count("\n") == 1


def test_scripts_hide_no_module_that_others_need():
    """A tool started as `python tools/x.py` has tools/, with time.py and test.py, first on its path."""
    code = ("import sys; sys.path.insert(0, 'tools'); import time, minicaffe.solver, numpy.testing; "
            "time.perf_counter()")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[2])


def test_stage_chooses_layers(run_tool, folder):
    """A net that has data only in one of two stages, as autoencoders' files have."""
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("phase: TEST", 'phase: TEST stage: "seen"', 1))
    assert run_tool("time", "net.prototxt", "--phase", "TEST", "--iterations", 1).code == 1
    result = run_tool("time", "net.prototxt", "--phase", "TEST", "--iterations", 1,
                      "--stage", "seen", "--stage", "other")
    assert result.code == 0 and result.err == "" and "1 iterations" in result.out
