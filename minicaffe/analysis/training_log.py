"""Reads the logs of training runs: our JSON lines, our log on stderr, and the original Caffe's.

    log = read_log("lenet.jsonl")
    iterations, losses = log.loss.T
    log.test[0, "accuracy"]            # (n, 2): iteration, value
"""

import json
import os
import re

import numpy as np

from ..errors import FileError
from ..files import reason

NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))"
LOSS = re.compile(rf"\] Iteration (\d+)(?: \(.*?\))?, loss = {NUMBER}")
RATE = re.compile(rf"\] Iteration (\d+), lr = {NUMBER}")
TESTING = re.compile(r"\] Iteration (\d+), Testing net \(#(\d+)\)")
OUTPUT = re.compile(rf"\] +(Train|Test) net output #\d+: (\S+) = {NUMBER}( \(\* .* loss\))?")


class TrainingLog:
    """What a log tells of a run, each curve an array (n, 2) of iterations and values.

    path      of the file                   name  its name without folder and ending
    loss      the displayed training loss         lr    the learning rate
    train     output name -> curve
    test      (number of the test net, output name) -> curve
    losses    names of test outputs that count as a loss

    An output of several values is their mean. Where iterations run backward (a resumed run writes
    on in the same file), the later lines replace what they go back behind.
    """

    def __init__(self, path):
        self.path, self.name = str(path), os.path.splitext(os.path.basename(path))[0]
        self.losses, self._latest = set(), 0
        self.loss, self.lr, self.train, self.test = [], [], {}, {}

    def is_empty(self):
        """Whether nothing was found in the file."""
        return not (self.loss or self.lr or self.test)

    def add(self, curve, iteration, value):
        """Append a point to one of the curves, while they are still lists."""
        curves = [self.loss, self.lr, *self.train.values(), *self.test.values()]
        for other in curves if iteration < self._latest else [curve]:
            while other and other[-1][0] >= iteration:
                other.pop()
        curve.append((iteration, value))
        self._latest = iteration

    def finish(self):
        """Make arrays of the lists."""
        self.loss, self.lr = _curve(self.loss), _curve(self.lr)
        self.train = {key: _curve(points) for key, points in self.train.items()}
        self.test = {key: _curve(points) for key, points in self.test.items()}
        return self


def _curve(points):
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def read_log(path):
    """The TrainingLog of a file. Raises FileError where it can't be read or holds no such lines."""
    log = TrainingLog(path)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise FileError(f"{path}: can't be read: {reason(error)}") from error
    text = _TextReader(log)
    for number, line in enumerate(lines, 1):
        if not line.lstrip().startswith("{"):
            text.read(line)
        elif not _read_event(log, line) and number < len(lines):    # a killed run ends anywhere
            raise FileError(f"{path}:{number}: not a JSON line of a training log")
    text.finish_output()
    if log.is_empty():
        raise FileError(f"{path}: no lines of a training log in it: neither JSON lines of "
                        "tools/train.py --log nor lines like `] Iteration 100, loss = 0.5`")
    return log.finish()


def _read_event(log, line):
    """Take in one line written by `--log`; returns whether it was one."""
    try:
        event = json.loads(line)
        iteration, outputs = event["iteration"], event.get("outputs", {})
        outputs = {name: float(np.mean(values)) for name, values in outputs.items()}
        for key, curve in ("loss", log.loss), ("lr", log.lr):
            if key in event:
                log.add(curve, iteration, float(event[key]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    for name, value in outputs.items():
        if "test_net" in event:
            log.add(log.test.setdefault((event["test_net"], name), []), iteration, value)
            if "loss" in name.lower():
                log.losses.add(name)
        else:
            log.add(log.train.setdefault(name, []), iteration, value)
    return True


class _TextReader:
    """Takes in lines in Caffe's format one by one: outputs follow the line with their iteration."""

    def __init__(self, log):
        self.log = log
        self.train_iteration = self.test_iteration = None
        self.test_net = 0
        self.output, self.values = None, []          # of the output being read: (curves, key)

    def read(self, line):
        if match := OUTPUT.search(line):
            self._read_output(*match.groups())
            return
        if "Iteration" not in line:
            return
        self.finish_output()
        if match := LOSS.search(line):
            self.train_iteration = int(match[1])
            self.log.add(self.log.loss, self.train_iteration, float(match[2]))
        elif match := RATE.search(line):
            self.log.add(self.log.lr, int(match[1]), float(match[2]))
        elif match := TESTING.search(line):
            self.test_iteration, self.test_net = int(match[1]), int(match[2])

    def _read_output(self, phase, name, value, is_loss):
        if phase == "Train":
            iteration, output = self.train_iteration, (self.log.train, name)
        else:
            iteration, output = self.test_iteration, (self.log.test, (self.test_net, name))
            if is_loss:
                self.log.losses.add(name)
        if iteration is None:
            return
        if self.output is None or self.output[1:] != (output[1], iteration):
            self.finish_output()
            self.output, self.values = (output[0], output[1], iteration), []
        self.values.append(float(value))

    def finish_output(self):
        """The output's last value has come: add their mean."""
        if self.output is not None:
            curves, key, iteration = self.output
            self.log.add(curves.setdefault(key, []), iteration, sum(self.values) / len(self.values))
        self.output = None
