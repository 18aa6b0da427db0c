"""Running tools in this process, and a small net with made-up pictures for them."""

import collections
import importlib.util
import logging
import pathlib
import struct

import numpy as np
import pytest

from minicaffe import cli

ROOT = pathlib.Path(__file__).parents[2]
Result = collections.namedtuple("Result", "code out err")

SOLVER = """net: "net.prototxt" base_lr: 0.05 momentum: 0.9 weight_decay: 0.001
lr_policy: "fixed" display: 2 max_iter: 8 test_iter: 2 test_interval: 4
snapshot_prefix: "out/net" random_seed: 3
"""

NET = """name: "Small"
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: "pictures/train" batch_size: 4 backend: IDX } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 }
  data_param { source: "pictures/train" batch_size: 5 backend: IDX } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 }
  param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def write_idx(path, array):
    """An array of bytes as an IDX file."""
    path.parent.mkdir(exist_ok=True)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + np.asarray(array, np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: net.prototxt, solver.prototxt, 20 pictures of three classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path))
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=20)
    pictures = rng.integers(128, size=(20, 8, 8)) + 60 * (labels[:, None, None])
    write_idx(tmp_path / "pictures" / "train-images-idx3-ubyte", pictures.clip(0, 255))
    write_idx(tmp_path / "pictures" / "train-labels-idx1-ubyte", labels)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def load_tool(name):
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def run_tool(capsys):
    """run_tool("train", "net.prototxt", ...) gives exit code, stdout and stderr of that tool."""
    log = logging.getLogger("minicaffe")
    handlers, level = list(log.handlers), log.level

    def run(name, *arguments):
        capsys.readouterr()
        log.handlers[:], log.level = handlers, level       # as in a process of its own
        code = cli.run(load_tool(name).main, [str(a) for a in arguments])
        return Result(code, *capsys.readouterr())

    yield run
    log.handlers[:], log.level = handlers, level


@pytest.fixture
def train(run_tool, folder):
    """train("--set", ...): tools/train.py on the folder's solver.prototxt."""
    return lambda *arguments: run_tool("train", "solver.prototxt", *arguments)
