"""Time of whole training steps on the GPU, here and in PyTorch, each also as a CUDA graph."""

import importlib.util
import time
from typing import NamedTuple

import numpy as np

from .. import backend
from . import bench
from .gpu_bench import torch_captured

_WARM_UP = 10                # steps: kernels compiled, algorithms chosen, the graph captured


class StepRow(NamedTuple):
    """Medians in microseconds a step; None where PyTorch isn't there.

    eager, graph: of minicaffe, without and with a captured CUDA graph; host: what Python needs to
    launch an eager step, however long the device takes. ratio: the quicker of ours over PyTorch's
    eager step.
    """

    net: str
    eager: float
    graph: float
    host: float
    torch: float | None
    torch_graph: float | None
    ratio: float | None


def compare(names, rounds, steps, folder=".", report=lambda row: None):
    """A StepRow for each net of bench.CASES; the sides take turns, `steps` steps a time.

    Float32 products, no TF32, on both sides.
    """
    rows = []
    for name in names:
        rows.append(_row(name, bench.CASES[name], rounds, steps, folder))
        report(rows[-1])
    return rows


def _row(name, case, rounds, steps, folder):
    sides = _sides(case, folder)
    for run in sides.values():
        run(_WARM_UP)
    times = {side: [] for side in (*sides, "host")}
    for _ in range(rounds):
        for side, run in sides.items():
            issued, done = _seconds(run, steps)
            times[side].append(done)
            if side == "eager":
                times["host"].append(issued)
    micro = {side: float(np.median(values)) * 1e6 for side, values in times.items()}
    torch = micro.get("torch")
    return StepRow(name, micro["eager"], micro["graph"], micro["host"], torch,
                   micro.get("torch_graph"),
                   min(micro["eager"], micro["graph"]) / torch if torch else None)


def _sides(case, folder):
    """{side: function that runs n steps}."""
    options = {"mode": "GPU", "device": backend.device_id()}
    sides = {"eager": bench.our_solver(case, folder, **options).step,
             "graph": bench.our_solver(case, folder, cuda_graph=True, **options).step}
    if importlib.util.find_spec("torch"):
        sides.update(_torch_sides(case, folder))
    return sides


def _torch_sides(case, folder):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = \
        backend.tf32_wanted()
    torch.backends.cudnn.benchmark = True
    device = f"cuda:{backend.device_id()}"

    def repeated(step):
        def run(count):
            for _ in range(count):
                step()
        return run

    return {"torch": repeated(bench.torch_step(case, folder, device)),
            "torch_graph": repeated(torch_captured(bench.torch_step(case, folder, device)))}


def _seconds(run, steps):
    """(until the last step is launched, until it is done), a step."""
    device = backend.xp().cuda.Device()
    device.synchronize()
    start = time.perf_counter()
    run(steps)
    issued = time.perf_counter() - start
    device.synchronize()
    return issued / steps, (time.perf_counter() - start) / steps
