"""Time of whole training steps on the GPU, here and in PyTorch, each also as a CUDA graph."""

import functools
import time
from typing import NamedTuple

import numpy as np

from .. import backend
from . import bench
from .gpu_bench import has_torch, torch_captured

_WARM_UP = 10                # steps: kernels compiled, algorithms chosen, the graph captured
_AHEAD = 10                  # steps that the host launches with no wait: the queue holds some 1000


class StepRow(NamedTuple):
    """Medians in microseconds a step; None where PyTorch isn't there.

    eager, graph: of minicaffe, without and with a captured CUDA graph; host: what Python needs to
    launch an eager step, however long the device takes (no loss is fetched). ratio: the quicker of
    ours over PyTorch's eager step.
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
    eager, sides = _sides(case, folder)
    for run in sides.values():
        run(_WARM_UP)
    times = {side: [] for side in (*sides, "host")}
    for _ in range(rounds):
        for side, run in sides.items():
            times[side].append(_seconds(run, steps)[1])
        times["host"].append(_seconds(functools.partial(_launch, eager), _AHEAD)[0])
    micro = {side: float(np.median(values)) * 1e6 for side, values in times.items()}
    torch = micro.get("torch")
    return StepRow(name, micro["eager"], micro["graph"], micro["host"], torch,
                   micro.get("torch_graph"),
                   min(micro["eager"], micro["graph"]) / torch if torch else None)


def _sides(case, folder):
    """(our eager solver, {side: function that runs n steps})."""
    options = {"mode": "GPU", "device": backend.device_id()}
    eager = bench.our_solver(case, folder, **options)
    sides = {"eager": eager.step,
             "graph": bench.our_solver(case, folder, cuda_graph=True, **options).step}
    if has_torch():
        sides.update(_torch_sides(case, folder))
    return eager, sides


def _launch(solver, steps):
    """The steps of Solver.step without its look at the loss, for which it waits at the end."""
    for _ in range(steps):
        solver._forward_backward()
        solver.apply_update()
        solver.iter += 1


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
