"""Time of element-wise and normalisation layers beside what memory allows.

A layer that reads and writes p blobs of a size can't be faster than p / 2 copies of such a blob.
The copy is timed in the same run, by the same number of threads, in turns with the layers.
"""

import time
from typing import NamedTuple

import numpy as np

from ..blob import Blob
from ..layers import layer_class
from ..primitives.elementwise import map_pieces
from ..primitives.parallel import one_blas_thread
from ..proto import caffe_pb2


class Case(NamedTuple):
    """A layer and how many blobs its passes must read and write at least, a blob read twice twice.

    What a layer keeps for its backward pass is not counted: it is the layer's own expense.
    """

    type: str
    forward: int | None              # blobs to read and write; None: nothing to time
    backward: int | None
    fields: dict = {}
    bottoms: int = 1
    tops: int = 1
    phase: str = "TRAIN"


CASES = {
    "ReLU": Case("ReLU", 2, 3), "ReLU, slope 0.1": Case("ReLU", 2, 3, {"negative_slope": 0.1}),
    "PReLU": Case("PReLU", 2, 3), "ELU": Case("ELU", 2, 3), "AbsVal": Case("AbsVal", 2, 3),
    "Clip": Case("Clip", 2, 3, {"min": -1, "max": 1}),
    "Power, 2x + 1": Case("Power", 2, 2, {"scale": 2, "shift": 1}),
    "Power, square": Case("Power", 2, 3, {"power": 2}),
    "Threshold": Case("Threshold", 2, None), "MaxMin": Case("MaxMin", 2, 2),
    "Exp": Case("Exp", 2, 3), "Log": Case("Log", 2, 3, {"shift": 10}),
    "Sigmoid": Case("Sigmoid", 2, 3), "TanH": Case("TanH", 2, 3), "BNLL": Case("BNLL", 2, 3),
    "Swish": Case("Swish", 2, 3), "GELU": Case("GELU", 2, 3),
    "GELU, tanh": Case("GELU", 2, 3, {"form": "TANH"}), "Dropout": Case("Dropout", 2, 2),
    "Eltwise, sum": Case("Eltwise", 3, 4, bottoms=2),
    "Eltwise, product": Case("Eltwise", 3, 6, {"operation": "PROD"}, bottoms=2),
    "Eltwise, maximum": Case("Eltwise", 3, 4, {"operation": "MAX"}, bottoms=2),
    "Split": Case("Split", None, 3, tops=2),
    "Scale": Case("Scale", 2, 3), "Scale, bias": Case("Scale", 2, 3, {"bias_term": True}),
    "Bias": Case("Bias", 2, 2), "Affine": Case("Affine", 2, 3),
    "BatchNorm": Case("BatchNorm", 3, 5), "BatchNorm, stored": Case("BatchNorm", 2, 2, phase="TEST"),
    "MVN": Case("MVN", 2, 3), "LayerNorm": Case("LayerNorm", 2, 3)}


class Row(NamedTuple):
    """Medians of one pass of one layer: time, its copies' worth of time, and their quotient."""

    name: str
    direction: str                   # "forward" or "backward"
    ms: float
    bound_ms: float
    ratio: float


def time_layers(names, rounds, shape=(100, 64, 32, 32)):
    """(ms of a copy, its GB/s, [Row]): medians over `rounds`, float32 blobs of this shape.

    The copy and all passes take turns: all of them once a round.
    """
    source, target = (np.ones(shape, np.float32) for _ in range(2))
    jobs = {("copy", ""): lambda: map_pieces(np, lambda a, b: np.copyto(b, a), source, target)}
    passes = {}
    for name in names:
        for direction, count, job in _jobs(CASES[name], shape):
            jobs[name, direction], passes[name, direction] = job, count
    times = {key: [] for key in jobs}
    with one_blas_thread():
        for k in range(rounds + 1):
            for key, job in jobs.items():
                start = time.perf_counter()
                job()
                times[key].append(time.perf_counter() - start)
    medians = {key: float(np.median(spans[1:])) * 1e3 for key, spans in times.items()}
    copy = medians.pop(("copy", ""))
    rows = [Row(*key, ms, copy * passes[key] / 2, ms / (copy * passes[key] / 2))
            for key, ms in medians.items()]
    return copy, 2 * source.nbytes / copy / 1e6, rows


def _jobs(case, shape):
    """(direction, blobs to read and write, function) of the passes of a layer."""
    cls, rng = layer_class(case.type), np.random.default_rng(1)
    message = {cls.message: case.fields} if cls.message else {}
    param = caffe_pb2.LayerParameter(name=case.type, type=case.type, **message)
    layer = cls(param, case.phase, rng=rng)
    bottom, top = [Blob(shape) for _ in range(case.bottoms)], [Blob() for _ in range(case.tops)]
    for blob in bottom:
        rng.standard_normal(dtype=np.float32, out=blob.data)
    layer.set_up(bottom, top)
    layer.forward(bottom, top)
    for blob in top:
        rng.standard_normal(dtype=np.float32, out=blob.diff)
    if case.forward is not None:
        yield "forward", case.forward, lambda: layer.forward(bottom, top)
    if case.backward is not None:
        yield "backward", case.backward, lambda: layer.backward(top, [True] * len(bottom), bottom)
