"""Time on the GPU: block diagonal products beside dense ones, torch.bmm and CSR; training steps.

All sides run in this process, on the same device, in turns. Device time is taken by events around
the replay of a CUDA graph, so that the cost of launching from Python is left out; `host` rows hold
it in. Inputs rotate among enough sets to outgrow the second-level cache.
"""

import functools
import importlib.util
from typing import NamedTuple

import numpy as np

from .. import backend
from ..primitives.cuda_graph import Recorder
from ..primitives.gemm import batched_matmul

BATCH = 100
SIZES = tuple(2 ** k for k in range(9, 15))          # 512 .. 16384
_ROTATED_BYTES = 1 << 28                              # of all sets of inputs together
_MOST_SETS = 32
_LAUNCH = 20e-6              # seconds; a call whose roofline is below it is bound by launching


class Row(NamedTuple):
    """Medians in microseconds of one product or three, b blocks of an n x n matrix, batch 100.

    speed_up: dense over block; roofline: what this would be if both ran at their bound; bound:
    "arithmetic" or "memory"; share: of the measured peak of what bounds it; far: whether both
    rooflines are far above the cost of a launch.
    """

    what: str
    n: int
    blocks: int
    block: float
    host: float
    dense: float
    bmm: float | None
    csr: float | None
    speed_up: float
    roofline: float
    bound: str
    share: float
    far: bool


class Ceilings(NamedTuple):
    """Measured on this device: FP32 arithmetic of a large cuBLAS product, bytes of a large copy."""

    flops: float                     # a second
    bandwidth: float                 # bytes a second, read and written


def ceilings():
    """The device's Ceilings: an 8192^3 product, a copy of 1 GiB."""
    xp, n = backend.xp(), 8192
    a, b, c = (xp.ones((1, n, n), np.float32) for _ in range(3))
    product = device_seconds([lambda: batched_matmul(xp, a, b, c)], rounds=5)
    source, target = (xp.ones(1 << 28, np.float32) for _ in range(2))
    copied = device_seconds([lambda: xp.copyto(target, source)], rounds=5)
    return Ceilings(2 * n ** 3 / product, 2 * source.nbytes / copied)


# ---- block diagonal products

def products(peak, sizes=SIZES, rounds=7, batch=BATCH):
    """Rows for b = 1, 4, 16 .. and n/4, forward and the three products of training, as measured.

    peak    the device's Ceilings
    """
    for n in sizes:
        dense = {}
        for blocks in _block_numbers(n):
            times = _times(n, blocks, batch, rounds)
            dense = dense or {what: side["block"] for what, side in times.items()}
            for what, sides in times.items():
                yield _row(what, n, blocks, batch, sides, dense[what], peak)


def _block_numbers(n):
    return sorted({*(4 ** k for k in range(16) if 4 ** k <= n // 4), n // 4})


def _row(what, n, blocks, batch, sides, dense, peak):
    """A Row of times in seconds a side; b = 1 is the dense product itself."""
    floor, bound = roofline(what, n, blocks, batch, peak)
    dense_floor = roofline(what, n, 1, batch, peak)[0]
    micro = {side: value * 1e6 for side, value in sides.items() if value is not None}
    return Row(what, n, blocks, micro["block"], micro["host"], dense * 1e6, micro.get("bmm"),
               micro.get("csr"), dense / sides["block"], dense_floor / floor, bound,
               floor / sides["block"], min(floor, dense_floor) >= _LAUNCH)


def roofline(what, n, blocks, batch, peak):
    """(seconds, "arithmetic" or "memory") that b blocks need at least.

    Forward reads x and w and writes y; the two other products read dy, w and write dx, read dy, x
    and write dw.
    """
    products, vectors, matrices = {"forward": (1, 2, 1), "training": (3, 6, 3)}[what]
    weights = n * n / blocks
    arithmetic = products * 2 * batch * weights / peak.flops
    memory = 4 * (vectors * batch * n + matrices * weights) / peak.bandwidth
    return max(arithmetic, memory), "arithmetic" if arithmetic >= memory else "memory"


@functools.lru_cache(_MOST_SETS)
def _draws(seed):
    """A million numbers, to be repeated: a gigabyte of draws takes longer than what is timed."""
    return np.random.default_rng(seed).standard_normal(1_000_003, np.float32)


class _Problem:
    """x, w, y and their gradients of a layer, on the device; slices (b, M, n/b) of x are views."""

    def __init__(self, n, blocks, batch, seed):
        xp, self.k = backend.xp(), n // blocks
        draws = _draws(seed)
        shapes = (batch, n), (batch, n), (blocks, self.k, self.k)
        self.blocks, self.batch = blocks, batch
        self.x, self.dy, self.w = (xp.asarray(np.resize(draws, shape)) for shape in shapes)
        self.y, self.dx, self.dw = (xp.empty_like(a) for a in (self.x, self.x, self.w))

    def forward(self):
        batched_matmul(backend.xp(), self._slices(self.x), self.w.transpose(0, 2, 1),
                       self._slices(self.y))

    def training(self):
        self.forward()
        xp, dy = backend.xp(), self._slices(self.dy)
        batched_matmul(xp, dy.transpose(0, 2, 1), self._slices(self.x), self.dw)
        batched_matmul(xp, dy, self.w, self._slices(self.dx))

    def _slices(self, a):
        return a.reshape(self.batch, self.blocks, self.k).transpose(1, 0, 2)


def _times(n, blocks, batch, rounds):
    """{"forward" or "training": {side: seconds}} of block, host, bmm and csr."""
    bytes_each = 4 * (4 * batch * n + 2 * n * n // blocks)
    count = int(min(_MOST_SETS, max(2, -(-_ROTATED_BYTES // bytes_each))))
    problems = [_Problem(n, blocks, batch, seed) for seed in range(count)]
    result = {}
    for what in "forward", "training":
        calls = [getattr(problem, what) for problem in problems]
        result[what] = {"block": device_seconds(calls, rounds),
                        "host": host_seconds(calls, rounds),
                        "bmm": _torch_seconds(problems, what, rounds),
                        "csr": _csr_seconds(problems[0], rounds) if what == "forward" else None}
    return result


def _csr_seconds(problem, rounds, most=1 << 24):
    """Seconds of W x^T with W in CSR by cuSPARSE; None where W has more than `most` entries."""
    if problem.w.size > most:
        return None
    xp, k, blocks = backend.xp(), problem.k, problem.blocks
    sparse = backend.scipy_module(xp, "sparse")
    n = k * blocks
    columns = xp.arange(n).reshape(blocks, 1, k) + xp.zeros((1, k, 1), int)
    matrix = sparse.csr_matrix((problem.w.reshape(-1), columns.reshape(-1),
                                xp.arange(n + 1) * k), shape=(n, n))
    return host_seconds([lambda: matrix @ problem.x.T], rounds)    # column-major: no copy is made


def _torch_seconds(problems, what, rounds):
    """Seconds of the same products by torch.bmm on the same memory, as a CUDA graph."""
    if not has_torch():
        return None
    import torch

    def view(array):
        return torch.from_dlpack(array)

    calls = []
    for p in problems:
        def slices(a, p=p):
            return view(a).view(p.batch, p.blocks, p.k).transpose(0, 1)
        x, dy, w = slices(p.x), slices(p.dy), view(p.w)
        y, dx, dw = torch.empty_like(x), torch.empty_like(x), torch.empty_like(w)

        def call(x=x, dy=dy, w=w, y=y, dx=dx, dw=dw):
            torch.bmm(x, w.transpose(1, 2), out=y)
            if what == "training":
                torch.bmm(dy.transpose(1, 2), x, out=dw)
                torch.bmm(dy, w, out=dx)
        calls.append(call)
    return torch_seconds(calls, rounds)


# ---- clocks

def device_seconds(calls, rounds, replays=5):
    """Median seconds of one of `calls`: all of them captured as a CUDA graph, which is replayed."""
    def once():
        for call in calls:
            call()

    recorder = Recorder()
    recorder.run(once)                                # compiles kernels, fills the memory pool
    graph, stream = recorder.capture(once), recorder.stream
    graph.launch(stream)
    times = [_between_events(stream, lambda: graph.launch(stream), replays) for _ in range(rounds)]
    return float(np.median(times)) / len(calls)


def host_seconds(calls, rounds, replays=5):
    """Median seconds of one of `calls` launched from Python, until the device has done it."""
    def once():
        for call in calls:
            call()

    once()
    times = [_between_events(backend.current_stream(), once, replays) for _ in range(rounds)]
    return float(np.median(times)) / len(calls)


def _between_events(stream, run, replays):
    cuda = backend.xp().cuda
    start, end = cuda.Event(), cuda.Event()
    start.record(stream)
    for _ in range(replays):
        run()
    end.record(stream)
    end.synchronize()
    return cuda.get_elapsed_time(start, end) / 1e3 / replays


def has_torch():
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def torch_seconds(calls, rounds, replays=5):
    """Median seconds of one of `calls` of PyTorch, as a CUDA graph of all of them."""
    import torch

    def once():
        for call in calls:
            call()

    replay = torch_captured(once)
    replay()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(replays):
            replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / replays)
    return float(np.median(times)) / len(calls)


def torch_captured(function):
    """A function of PyTorch as a CUDA graph: what replays it."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay
