"""Fig. 2: how many pruning iterations an iteration of pure block training pays for (Eq. 2's bound).

Paper: Nesky and Stout, Section 4.1: (T(FC) - T(Block)) / T(Prune), n x n weights, batch of 100;
T: forward and backward pass; T(Prune): the penalty, and a mask that grows by 1 / 350 of what goes,
as in each of the paper's pruning iterations of LeNet. Make: python figures/make.py bdip.fig2
--scale full (minutes; add --gpu 0 for a GPU).
"""

import itertools

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.blob import Blob
from minicaffe.proto import caffe_pb2
from minicaffe.pruning import method_class

from ..frame.timing import TimedLayer, in_turns
from . import fig1

notes, runs = fig1.notes, fig1.runs
PHASE = 350
SIZES = {"smoke": (32, 64), "quick": (512, 1024), "full": (512, 1024, 2048, 4096)}


def measure(scale, load):
    return {"batch": fig1.BATCH, "sizes": [_size(n, fig1.ROUNDS[scale]) for n in SIZES[scale]]}


def _size(n, rounds):
    """Eq. 2's bound for numbers of blocks up to n / 4, from times taken in turns."""
    row = {"n": n, "blocks": [], "bound": [], "seconds": []}
    dense, blocks = TimedLayer(fig1.BATCH, n, n), 2
    while blocks <= n // 4:
        layer, prune = TimedLayer(fig1.BATCH, n, n, blocks), pruning_step(n, blocks)
        seconds = in_turns({"FC": dense.all_three, "Block": layer.all_three, "Prune": prune},
                           rounds)
        row["blocks"].append(blocks)
        row["seconds"].append(seconds)
        row["bound"].append((seconds["FC"] - seconds["Block"]) / seconds["Prune"])
        blocks *= 2
    return row


def pruning_step(n, blocks):
    """A function that does what pruning adds to a training iteration of an n x n layer."""
    weights = Blob((n, n), np.float32)
    weights.data = np.random.default_rng(0).uniform(-1, 1, (n, n))
    param = caffe_pb2.PruningParameter(layer=["ip"], num_blocks=blocks, alpha=0.001)
    method = method_class("OFF_DIAGONAL")(param, weights)
    iterations = itertools.cycle(range(1, PHASE))

    def step():
        method.start()
        method.penalize()
        if (i := next(iterations)) == 1:
            weights.mask[...] = True
        method.prune(i / PHASE, 0.01)
    return step


def compare(numbers):
    best = [(row, int(np.argmax(row["bound"]))) for row in numbers["sizes"]]
    return [(f"n = {row['n']}: largest bound, at {row['blocks'][i]} blocks", None, row["bound"][i])
            for row, i in best]


def draw(numbers):
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, "(T(FC) - T(Block)) / T(Prune)",
                f"pruning iterations paid for by a block iteration, batch {numbers['batch']}")
    for color, row in zip(style.COLORS, numbers["sizes"]):
        axes.semilogx(row["blocks"], row["bound"], marker="o", markersize=3, color=color, base=2,
                      label=f"n = {row['n']}")
    axes.xaxis.set_major_formatter(style.plain)
    axes.set_xlabel("number of blocks")
    axes.legend(fontsize=8, frameon=False)
    return figure
