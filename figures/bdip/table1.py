"""Table 1: test accuracy of BDIP, block shuffling, IP-BDIP, traditional pruning; three data sets.

Paper: Nesky and Stout, Section 4.2: LeNet on MNIST (10,000 iterations), cuda-convnet on SVHN and
CIFAR-10 (9,000). Make: python figures/make.py bdip.table1 --scale full --jobs 2: 27 runs of LeNet,
of 4 to 8 minutes on one core each, and 9 (with SVHN 18) of cuda-convnet of about 30 minutes.
MNIST's numbers are means of three seeds. SVHN is left out where its files aren't there.
"""

import functools

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.nets import net_name

from . import pruned
from .common import both_notes, convnet, has_svhn, lenet

METHODS = ("BDIP", "shuffled", "IP-BDIP", "traditional")
PAPER = {"MNIST": {(1, 1): 99.11, (10, 1): (98.83, 98.81, 99.02, 99.04),
                   (100, 10): (98.39, 98.42, 98.65, 98.55)},
         "SVHN": {(1, 1): 91.96, (8, 1): (91.39, 91.46, 91.88, 91.15),
                  (64, 2): (89.21, 89.69, 90.02, 90.93)},
         "CIFAR10": {(1, 1): 76.29, (8, 1): (75.07, 75.09, 76.05, 75.64),
                     (64, 2): (72.7, 73.45, 74.81, 75.18)}}
SEEDS = {"smoke": {}, "quick": {}, "full": {"MNIST": (1, 2, 3)}}   # where not 1 alone
notes = both_notes


def makers(data):
    """{method: function of (blocks, scale, seed) that gives the Run}, "dense" among them."""
    dense, others = lenet, (pruned.lenet_ip, pruned.lenet_traditional)
    if data != "MNIST":
        dense, *others = (functools.partial(make, data=data) for make in (
            convnet, pruned.convnet_ip, pruned.convnet_traditional))
    # cuda-convnet's random sparse convolution, which the paper names, draws its connections once; a
    # new order each pass leaves LeNet (100,10)-BD4 at 77 %
    shuffled = functools.partial(dense, shuffle="FIXED_BLOCKS")
    return {"dense": dense, **dict(zip(METHODS, (dense, shuffled, *others)))}


def cells(scale):
    """(data, blocks, method, paper's accuracy, runs) of every entry of the table."""
    for data, rows in PAPER.items():
        if data == "SVHN" and not has_svhn():
            continue
        seeds, make = SEEDS[scale].get(data, (1,)), makers(data)
        for blocks, paper in rows.items():
            if scale == "smoke" and blocks in ((10, 1), (8, 1)):
                continue
            entries = [("dense", paper)] if blocks == (1, 1) else zip(METHODS, paper)
            for method, value in entries:
                wanted = [make[method](blocks, scale, seed) for seed in seeds]
                yield data, blocks, method, value, wanted


def runs(scale):
    return [run for *_, wanted in cells(scale) for run in wanted]


def summary(arrays):
    """Percent on the test set after training."""
    return {"accuracy": 100 * float(arrays["test_accuracy"][-1])}


def measure(scale, load):
    """The accuracies of every entry, of the seeds that are done, and their mean."""
    entries = []
    for data, blocks, method, paper, wanted in cells(scale):
        accuracies = [done["accuracy"] for done in map(load, wanted) if done]
        if accuracies:
            entries.append({"data": data, "blocks": blocks, "method": method, "paper": paper,
                            "accuracies": accuracies, "mean": float(np.mean(accuracies))})
    return {"entries": entries}


def label(entry):
    layers = 4 if entry["data"] == "MNIST" else 5
    return f"{entry['data']} {net_name(entry['blocks'], layers)} {entry['method']}"


def compare(numbers):
    rows = []
    for entry in numbers["entries"]:
        seeds = len(entry["accuracies"])
        rows.append((f"{label(entry)}, % ({seeds} seed{'s' * (seeds > 1)})", entry["paper"],
                     entry["mean"]))
    return rows


def draw(numbers):
    sets = list(dict.fromkeys(entry["data"] for entry in numbers["entries"]))
    figure = style.new_figure(8, 1 + 0.28 * len(numbers["entries"]) + 0.6 * len(sets))
    counts = [sum(entry["data"] == data for entry in numbers["entries"]) for data in sets]
    panels = figure.subplots(len(sets), 1, squeeze=False, height_ratios=counts)[:, 0]
    for axes, data in zip(panels, sets):
        entries = [entry for entry in numbers["entries"] if entry["data"] == data][::-1]
        style.clean(axes, title=data)
        for y, entry in enumerate(entries):
            style.seeds(axes, y, entry["accuracies"], style.COLORS[0])
            axes.plot(entry["paper"], y, "D", markersize=6, color=style.COLORS[1], fillstyle="none")
        axes.set_yticks(range(len(entries)), [label(entry).partition(" ")[2] for entry in entries])
        axes.set_ylim(-0.6, len(entries) - 0.4)
    panels[-1].set_xlabel("test accuracy, %: dots the seeds, bars their mean, diamonds the paper")
    return figure
