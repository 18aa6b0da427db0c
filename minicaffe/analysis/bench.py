"""Time of whole training steps, here and in PyTorch, taken in turns on the same machine.

Each side runs in a process of its own, so that neither side's threads are in the other's way, and
the sides alternate, so that both see the same machine.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

from ..proto import caffe_pb2, text
from ..solver import get_solver


class Case(NamedTuple):
    """A net of a prototxt file, and the batch it is trained with on random numbers."""

    file: str
    shape: tuple
    classes: int = 10


CASES = {"lenet": Case("prototxt/lenet/train_test.prototxt", (64, 1, 28, 28)),
         "quick": Case("prototxt/cuda_convnet/quick_train_test.prototxt", (100, 3, 32, 32))}
SIDES = ("minicaffe", "torch")
_WARM_UP = 5                 # steps before the clock runs
_RECIPE = {"base_lr": 0.001, "momentum": 0.9, "weight_decay": 0.0005}


def compare(names, rounds, steps, folder):
    """Medians of the step times in ms: {name: {side: median, "ratio": ours / PyTorch's}}.

    `rounds` processes a side and net, `steps` timed steps each; the median is over all of them.
    Without PyTorch only our own time is given.
    """
    sides = [side for side in SIDES if side == "minicaffe" or importlib.util.find_spec(side)]
    times = {(name, side): [] for name in names for side in sides}
    for _ in range(rounds):
        for name in names:
            for side in sides:
                times[name, side] += _in_process(side, name, steps, folder)
    result = {}
    for name in names:
        medians = {side: float(np.median(times[name, side])) * 1e3 for side in sides}
        if len(sides) == 2:
            medians["ratio"] = medians["minicaffe"] / medians["torch"]
        result[name] = medians
    return result


def machine():
    """What the numbers depend on: processor count, versions."""
    import minicaffe

    return {"cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
            else os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
            "numpy": np.__version__, "minicaffe": minicaffe.__version__}


def step_times(side, name, steps, folder="."):
    """Seconds of each of `steps` training steps (forward, backward, update) of one side."""
    step = {"minicaffe": _our_step, "torch": torch_step}[side](CASES[name], folder)
    for _ in range(_WARM_UP):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def _in_process(side, name, steps, folder):
    code = f"from {__name__} import step_times; import json; " \
           f"print(json.dumps(step_times({side!r}, {name!r}, {steps}, {str(folder)!r})))"
    output = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    return json.loads(output.stdout)


def net_on_inputs(case, folder="."):
    """The training net of a case, its data layers replaced by Input layers of the batch's shape."""
    param, _ = text.read_net(os.path.join(folder, case.file))
    net = caffe_pb2.NetParameter(name=param.name)
    inputs = net.layer.add(name="input", type="Input", top=["data", "label"])
    for shape in case.shape, case.shape[:1]:
        inputs.input_param.shape.add(dim=shape)
    net.layer.extend(layer for layer in param.layer if layer.type != "Data")
    return net


def _batch(case):
    rng = np.random.default_rng(1)
    return (rng.standard_normal(case.shape, np.float32),
            rng.integers(case.classes, size=case.shape[0]))


def our_solver(case, folder=".", mode="CPU", device=0, **options):
    """A solver of a case with the same batch in every step; options are get_solver's."""
    param = caffe_pb2.SolverParameter(net_param=net_on_inputs(case, folder), lr_policy="fixed",
                                      random_seed=1, solver_mode=mode, device_id=device, **_RECIPE)
    solver = get_solver(param, **options)
    for name, array in zip(("data", "label"), _batch(case)):
        solver.net.blobs[name].data = array
    return solver


def _our_step(case, folder):
    solver = our_solver(case, folder)
    return lambda: solver.step(1)


def torch_step(case, folder=".", device="cpu"):
    """The same training step in PyTorch, as a function."""
    import torch

    shape = net_on_inputs(case, folder), case.shape
    data, label = (torch.from_numpy(array).to(device) for array in _batch(case))
    model = torch.nn.Sequential(*_torch_layers(*shape)).to(device)
    model(data)                                       # lazy layers take their shapes
    optimizer = torch.optim.SGD(model.parameters(), lr=_RECIPE["base_lr"],
                                momentum=_RECIPE["momentum"], weight_decay=_RECIPE["weight_decay"])
    loss = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(model(data), label).backward()
        optimizer.step()
    return step


def _torch_layers(net, shape):
    """PyTorch's modules for a chain of Convolution, Pooling, ReLU and InnerProduct layers."""
    from torch import nn

    channels, flat = shape[1], False
    for layer in net.layer:
        if layer.type == "Convolution":
            p = layer.convolution_param
            yield nn.Conv2d(channels, p.num_output, p.kernel_size[0], p.stride[0] if p.stride else 1,
                            p.pad[0] if p.pad else 0)
            channels = p.num_output
        elif layer.type == "Pooling":
            p = layer.pooling_param
            kind = nn.MaxPool2d if p.pool == p.MAX else nn.AvgPool2d
            yield kind(p.kernel_size, p.stride, p.pad, ceil_mode=True)
        elif layer.type == "ReLU":
            yield nn.ReLU()
        elif layer.type == "InnerProduct":
            if not flat:
                yield nn.Flatten()
                flat = True
            yield nn.LazyLinear(layer.inner_product_param.num_output)
