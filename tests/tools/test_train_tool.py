import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import minicaffe
from minicaffe.proto import weights

# What tools that parse Caffe's logs look for (its own parse_log.py and parse_log.sh).
ITERATION = re.compile(r"Iteration (\d+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+(?:[eE]?[-+]?[0-9]+)?)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([.\deE+-]+)")
GLOG = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] ")

# Everything random that a run can hold.
RANDOM_NET = """name: "Random"
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 mirror: true crop_size: 6 }
  data_param { source: "pictures/train" batch_size: 3 backend: IDX shuffle: true } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 mirror: true crop_size: 6 }
  data_param { source: "pictures/train" batch_size: 3 backend: IDX shuffle: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 12 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
RULES = {"SGD": "momentum: 0.9 weight_decay: 0.001", "Adam": "momentum: 0.9 momentum2: 0.99 delta: 1e-8"}


def write_solver(folder, rule="SGD", more="random_seed: 5"):
    (folder / "net.prototxt").write_text(RANDOM_NET)
    (folder / "solver.prototxt").write_text(
        f'net: "net.prototxt" type: "{rule}" {RULES[rule]} base_lr: 0.01 lr_policy: "multistep" '
        f'gamma: 0.5 stepvalue: 5 stepvalue: 11 iter_size: 2 display: 3 max_iter: 14 '
        f'test_iter: 2 test_interval: 6 snapshot: 7 snapshot_prefix: "out/net" {more}')


def blobs(path):
    """All weights of a .caffemodel as one list of bytes."""
    net = weights.read_net_weights(path)
    return [weights.blob_to_array(blob).tobytes() for layer in net.layer for blob in layer.blobs]


def state(path):
    """A .solverstate without the name of its weights file."""
    solver_state = weights.read_solver_state(path)
    solver_state.ClearField("learned_net")
    return solver_state


# ---- what a run writes

def test_log_lines_have_caffes_format(train):
    result = train("--set", "base_lr=1e-05")
    lines = result.err.splitlines()
    assert result.code == 0 and all(GLOG.match(line) for line in lines)
    seen, iteration = {"lr": [], "loss": [], "train": [], "test": []}, None
    for line in lines:
        if match := ITERATION.search(line):
            iteration = int(match[1])
        if match := RATE.search(line):
            seen["lr"].append((iteration, float(match[1])))
        if match := re.search(r"Iteration \d+ \(\S+ iter/s, \S+s/2 iters\), loss = (\S+)$", line):
            seen["loss"].append((iteration, match[1]))
        if match := TRAIN_OUTPUT.search(line):
            assert re.search(r" \(\* 1 = \S+ loss\)$", line)
            seen["train"].append((iteration, match[1], match[2], match[3]))
        if match := TEST_OUTPUT.search(line):
            seen["test"].append((iteration, match[1], match[2]))
    assert seen["lr"] == [(i, 1e-5) for i in (0, 2, 4, 6)]
    assert [i for i, _ in seen["loss"]] == [0, 2, 4, 6]
    assert seen["train"] == [(i, "0", "loss", value) for i, value in seen["loss"]]
    assert seen["test"] == [(i, *output) for i in (0, 4, 8)
                            for output in (("0", "accuracy"), ("1", "loss"))]
    text = [line.split("] ", 1)[1] for line in lines]
    assert text[:3] == ["Solving Small", "Learning Rate Policy: fixed",
                        "Iteration 0, Testing net (#0)"]
    assert text[-1] == "Optimization Done."
    assert "Snapshotting to binary proto file out/net_iter_8.caffemodel" in text
    assert "Snapshotting solver state to binary proto file out/net_iter_8.solverstate" in text
    assert re.fullmatch("Iteration 8, loss = .*", text[-5])


def test_json_lines(train, folder):
    result = train("--log", "logs/run.jsonl")
    events = [json.loads(line) for line in (folder / "logs/run.jsonl").read_text().splitlines()]
    tests = [event for event in events if "test_net" in event]
    shown = [event for event in events if "lr" in event]
    assert [event["iteration"] for event in tests] == [0, 4, 8]
    assert [event["iteration"] for event in shown] == [0, 2, 4, 6]
    assert all(set(event["outputs"]) == {"accuracy", "loss"} for event in tests)
    assert events[-2] == {"time": events[-2]["time"], "iteration": 8, "loss": events[-2]["loss"],
                          "final": True}
    assert f"Iteration 8, loss = {events[-2]['loss']:g}\n" in result.err
    for event in shown:
        assert event["lr"] == pytest.approx(0.05)
        assert f"iters), loss = {event['loss']:g}\n" in result.err
        assert event["outputs"] == {"loss": event["loss"]}
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_json_lines_of_a_second_run(train, folder):
    """A resumed run goes on in the file, a run from the start begins it anew."""
    def iterations():
        lines = (folder / "run.jsonl").read_text().splitlines()
        return [json.loads(line)["iteration"] for line in lines if "lr" in line]

    train("--log", "run.jsonl", "--set", "max_iter=4")
    train("--log", "run.jsonl", "--snapshot", "out/net_iter_4.solverstate")
    assert iterations() == [0, 2, 4, 6]
    train("--log", "run.jsonl", "--set", "max_iter=3")
    assert iterations() == [0, 2]


def test_it_learns(train):
    assert train("--set", "max_iter=60").code == 0
    net = minicaffe.Net("net.prototxt", minicaffe.TEST, weights="out/net_iter_60.caffemodel")
    accuracies = [float(net.forward()["accuracy"]) for _ in range(4)]
    assert np.mean(accuracies) >= 0.9


def test_set_overrides(train, folder):
    result = train("--set", "max_iter=3", "--set", "base_lr=0.5", "--set", "test_iter=1",
                   "--set", 'snapshot_prefix="else/x"', "--set", "lr_policy=multistep", "--set",
                   "stepvalue=1,2", "--set", "gamma=0.1", "--set", "display=1")
    assert result.code == 0 and (folder / "else" / "x_iter_3.caffemodel").exists()
    assert RATE.findall(result.err) == ["0.5", "0.05", "0.005"]


def test_net_on_the_command_line_goes_before_the_solvers(run_tool, folder):
    net = folder / "other.prototxt"
    net.write_text((folder / "net.prototxt").read_text().replace("Small", "Other"))
    (folder / "solver.prototxt").write_text(
        (folder / "solver.prototxt").read_text().replace("net.prototxt", "nowhere.prototxt"))
    result = run_tool("train", "other.prototxt", "solver.prototxt")
    assert result.code == 0 and "Solving Other" in result.err


def test_solver_in_another_folder(train, folder, run_tool, monkeypatch):
    """Its net is found beside it, as its data are in $MINICAFFE_DATA."""
    (folder / "else").mkdir()
    monkeypatch.chdir(folder / "else")
    assert run_tool("train", "../solver.prototxt").code == 0


def test_weights_start_from_several_files(train, folder):
    train()
    text = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(text.replace('"ip"', '"fc"'))
    train("--set", "snapshot_prefix=fc", "--set", "random_seed=9")
    result = train("--weights", "out/net_iter_8.caffemodel,fc_iter_8.caffemodel",
                   "--set", "base_lr=0", "--set", "snapshot_prefix=both", "--set", "max_iter=1")
    assert result.code == 0
    assert re.findall("Finetuning from (.*)", result.err) == ["out/net_iter_8.caffemodel",
                                                              "fc_iter_8.caffemodel"]
    # conv is in both files: the later one counts; the layer fc only in the second
    assert blobs("both_iter_1.caffemodel") == blobs("fc_iter_8.caffemodel")
    assert blobs("fc_iter_8.caffemodel")[0] != blobs("out/net_iter_8.caffemodel")[0]


def test_weights_and_snapshot_exclude_each_other(train):
    result = train("--weights", "a", "--snapshot", "b")
    assert result.code == 1
    assert result.err == "error: give --weights to start from them or --snapshot to resume, not both\n"


# ---- the same bits

@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", ["random_seed: 5", ""])
def test_resumed_run_ends_in_the_same_bits(train, folder, rule, seed):
    write_solver(folder, rule, seed)
    whole = train("--log", "whole.jsonl")
    assert whole.code == 0
    (folder / "out").rename(folder / "first")
    resumed = train("--snapshot", "first/net_iter_7.solverstate", "--log", "resumed.jsonl")
    assert resumed.code == 0
    assert "Restoring previous solver status from first/net_iter_7.solverstate" in resumed.err
    assert blobs("first/net_iter_14.caffemodel") == blobs("out/net_iter_14.caffemodel")
    assert blobs("first/net_iter_14.caffemodel") != blobs("first/net_iter_7.caffemodel")
    assert state("first/net_iter_14.solverstate") == state("out/net_iter_14.solverstate")

    def events(name):
        read = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        return [{k: v for k, v in e.items() if k != "time"} for e in read if e["iteration"] > 7]
    assert events("whole.jsonl") == events("resumed.jsonl")


@pytest.mark.parametrize("rule", RULES)
def test_same_seed_same_bits(train, folder, rule):
    write_solver(folder, rule)
    for name in "abc":
        seed = 6 if name == "c" else 5
        assert train("--set", f"snapshot_prefix={name}", "--set", f"random_seed={seed}").code == 0
    assert blobs("a_iter_14.caffemodel") == blobs("b_iter_14.caffemodel")
    assert blobs("a_iter_14.caffemodel") != blobs("c_iter_14.caffemodel")
    assert state("a_iter_14.solverstate") == state("b_iter_14.solverstate")


def test_without_a_seed_runs_differ(train, folder):
    write_solver(folder, more="")
    for name in "ab":
        train("--set", f"snapshot_prefix={name}")
    assert blobs("a_iter_14.caffemodel") != blobs("b_iter_14.caffemodel")


# ---- signals

class Running:
    """tools/train.py in a process of its own, its stderr read line by line."""

    def __init__(self, process):
        self.process, self.lines = process, []

    def wait_for(self, pattern):
        for line in self.process.stderr:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no {pattern} in:\n{''.join(self.lines)}")

    def end(self):
        """The rest of stderr, after the process has ended."""
        rest = self.process.stderr.read()
        self.process.wait(timeout=30)
        return rest


@contextlib.contextmanager
def running(*arguments):
    root = str(pathlib.Path(__file__).parents[2])
    command = [sys.executable, f"{root}/tools/train.py", "solver.prototxt", *arguments]
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        guard = threading.Timer(30, process.kill)
        guard.start()
        try:
            yield Running(process)
        finally:
            guard.cancel()
            process.kill()


def test_interrupt_ends_with_a_snapshot_that_resumes_in_the_same_bits(train, folder):
    write_solver(folder)
    with running("--set", "max_iter=1000000", "--set", "snapshot=0") as run:
        run.wait_for("Iteration 30 ")
        run.process.send_signal(signal.SIGINT)
        rest = run.end()
        assert run.process.returncode == 130
    assert "topping after this iteration (Ctrl-C again: at once)" in rest
    assert "Optimization stopped early." in rest and "Traceback" not in rest
    snapshot, stopped = re.search(r"To go on: --snapshot (out/net_iter_(\d+)\.solverstate)", rest).groups()
    end = int(stopped) + 5
    settings = ["--set", f"max_iter={end}", "--set", "snapshot=0", "--set", "display=0"]
    assert train(*settings, "--snapshot", snapshot).code == 0
    resumed = blobs(f"out/net_iter_{end}.caffemodel")
    assert train(*settings, "--set", "snapshot_prefix=whole").code == 0
    assert resumed == blobs(f"whole_iter_{end}.caffemodel")


def test_hangup_takes_a_snapshot_and_goes_on(train, folder):
    write_solver(folder)
    with running("--set", "max_iter=1000000", "--set", "snapshot=0") as run:
        run.wait_for("Iteration 30 ")
        run.process.send_signal(signal.SIGHUP)
        taken = int(re.search(r"_iter_(\d+)", run.wait_for("Snapshotting solver state"))[1])
        run.wait_for(f"Iteration {3 * (taken // 3) + 9} ")
        run.process.send_signal(signal.SIGINT)
        rest = run.end()
        assert run.process.returncode == 130
    assert rest.count("Snapshotting solver state") == 1
    last = int(re.search(r"To go on: .*_iter_(\d+)", rest)[1])
    assert sorted(p.name for p in (folder / "out").glob("*.solverstate")) == sorted(
        f"net_iter_{i}.solverstate" for i in (taken, last))
    assert train("--snapshot", f"out/net_iter_{taken}.solverstate", "--set", f"max_iter={last}",
                 "--set", "snapshot_prefix=again", "--set", "snapshot=0").code == 0
    assert blobs(f"again_iter_{last}.caffemodel") == blobs(f"out/net_iter_{last}.caffemodel")


SLEEPER = """import time, minicaffe
class Sleeper(minicaffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        for _ in range(6000):  # one long sleep may begin after a signal and before Python sees it
            time.sleep(0.01)
    def backward(self, top, propagate_down, bottom): pass
"""


def test_second_interrupt_ends_at_once(folder, monkeypatch):
    (folder / "sleeper.py").write_text(SLEEPER)
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(
        net.replace('bottom: "data" top: "conv"', 'bottom: "slow" top: "conv"').replace(
            'layer { name: "conv"', 'layer { name: "s" type: "Python" bottom: "data" top: "slow" '
            'python_param { module: "sleeper" layer: "Sleeper" } }\nlayer { name: "conv"'))
    with running("--set", "test_initialization=false") as run:
        run.wait_for("Learning Rate Policy")
        run.process.send_signal(signal.SIGINT)
        run.wait_for("topping after this iteration")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == "interrupted\n"
        assert run.process.returncode == 130
    assert not list((folder / "out").glob("*"))


def test_weights_for_no_layer(train, folder):
    assert train("--set", "max_iter=2").code == 0
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace('name: "conv"', 'name: "c"').replace('"ip" type', '"i" type'))
    result = train("--weights", "out/net_iter_2.caffemodel")
    assert result.code == 1
    assert "out/net_iter_2.caffemodel: holds no weights for any layer of the net" in result.err
    assert "Ignoring source layer conv" in result.err


def test_stage_and_level_choose_layers(train, folder):
    """Of the training net alone, as in Caffe: the test net has neither layer, nor needs it."""
    net = folder / "net.prototxt"
    net.write_text(net.read_text() + "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}" '
        f'include {{ {rule} }} inner_product_param {{ num_output: 2 }} }}\n'
        for name, rule in (("staged", 'stage: "extra"'), ("levelled", "min_level: 3"))))
    for options, present in ([], set()), (["--stage", "extra", "--stage", "other"], {"staged"}), \
            (["--stage", "extra", "--level", "3"], {"staged", "levelled"}):
        result = train("--set", "max_iter=1", *options)
        assert result.code == 0, result.err
        saved = weights.read_net_weights(folder / "out/net_iter_1.caffemodel")
        assert {layer.name for layer in saved.layer} & {"staged", "levelled"} == present
