"""Section 4.2.1, IP-BDIP: which reading of the paper's pruning ends above blocks from the start?

Paper: Nesky and Stout: LeNet (100,10)-BD4 reaches 98.65 % by IP-BDIP (15 dense, 350 pruning
iterations), 98.39 % with blocks from the start; alpha, the way to zero and what happens to the kept
blocks aren't said. Make: python figures/make.py bdip.text_readings --scale full --jobs 2: 33 runs
of LeNet, of 4 to 8 minutes on one core each. Kept blocks times b instead of sqrt(b) diverge.
"""

import dataclasses
import functools

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.nets import net_name

from . import pruned
from .common import LENET, lenet, mnist_notes

BLOCKS = (100, 10)
PAPER = {"blocks from the start": 98.39, "IP-BDIP": 98.65}
# what differs from `pruned.lenet_ip`: alpha, other fields, dense and pruning iterations
READINGS = {
    "kept blocks as they are": (pruned.ALPHA, "weight_power: 0", pruned.LENET_PHASES),
    "their rate times sqrt(b)": (pruned.ALPHA, "lr_power: 0.5", pruned.LENET_PHASES),
    "no penalty": (0, "", pruned.LENET_PHASES),
    "alpha 0.01": (0.01, "", pruned.LENET_PHASES),
    "alpha 0.1": (0.1, "", pruned.LENET_PHASES),
    "fast at first": (pruned.ALPHA, "schedule: CUBIC", pruned.LENET_PHASES),
    "crossing zero, alpha 0.1": (0.1, "schedule: CROSSING", pruned.LENET_PHASES),
    "soft shrinkage, alpha 0.1": (0.1, "schedule: SOFT", pruned.LENET_PHASES),
    "500 dense, 1,000 pruning iterations": (pruned.ALPHA, "", (500, 1000))}
SEEDS = {"smoke": (1,), "quick": (1,), "full": (1, 2, 3)}
LAST = 6                                     # tests whose mean is shown beside the last one
notes = mnist_notes


def chosen(scale):
    """{reading: its runs, one a seed}."""
    makers = {"blocks from the start": lambda seed: lenet(BLOCKS, scale, seed),
              "IP-BDIP": lambda seed: pruned.lenet_ip(BLOCKS, scale, seed)}
    for what in READINGS:
        makers[what] = functools.partial(reading, what, scale)
    if scale == "smoke":
        makers = {what: makers[what] for what in ("IP-BDIP", "no penalty")}
    return {what: [make(seed) for seed in SEEDS[scale]] for what, make in makers.items()}


def reading(what, scale, seed):
    """The Run of IP-BDIP read as READINGS says under that name; some diverge."""
    alpha, more, given = READINGS[what]
    text = pruned.off_diagonal(BLOCKS, *pruned.phases(given, LENET, scale), alpha, more)
    run = dataclasses.replace(lenet((1, 1), scale, seed, pruning=text), may_diverge=True)
    return pruned.named(run, f"IP-BDIP {net_name(BLOCKS, 4)}, {what}")


def runs(scale):
    return [run for wanted in chosen(scale).values() for run in wanted]


def summary(arrays):
    """Percent on the test set, the last test and the mean of the last six; or where it diverged."""
    if "diverged" in arrays:
        return {"diverged": int(arrays["diverged"])}
    tests = 100 * arrays["test_accuracy"]
    return {"last": float(tests[-1]), "late": float(tests[-LAST:].mean())}


def measure(scale, load):
    """The summaries of every reading, of the seeds that are done."""
    entries = []
    for what, wanted in chosen(scale).items():
        done = [one for one in map(load, wanted) if one]
        if done:
            entries.append({"reading": what, **{which: [one[which] for one in done if which in one]
                                                for which in ("last", "late", "diverged")}})
    return {"entries": entries}


def compare(numbers):
    rows = []
    for entry in numbers["entries"]:
        what, seeds = entry["reading"], len(entry["last"])
        if entry["diverged"]:
            iterations = ", ".join(map(str, entry["diverged"]))
            rows.append((f"{what}: diverged at iteration", None, iterations))
        if seeds:
            of = f"{what} ({seeds} seed{'s' * (seeds > 1)})"
            rows += [(f"{of}: last test, %", PAPER.get(what), float(np.mean(entry["last"]))),
                     (f"{of}: mean of the last {LAST} tests, %", None, float(np.mean(entry["late"])))]
    return rows


def described(entry):
    """The reading, with the number of seeds that diverged."""
    diverged, seeds = len(entry["diverged"]), len(entry["diverged"] + entry["last"])
    return entry["reading"] + f"\n({diverged} of {seeds} diverged)" * (diverged > 0)


def draw(numbers):
    entries = numbers["entries"][::-1]
    figure = style.new_figure(8, 1.4 + 0.34 * len(entries))
    axes = figure.subplots()
    style.clean(axes, title=f"LeNet {net_name(BLOCKS, 4)} on MNIST: readings of IP-BDIP")
    for shift, color, which, words in ((0.14, style.COLORS[0], "last", "last test"),
                                       (-0.14, style.COLORS[2], "late", f"mean of the last {LAST}")):
        for y, entry in enumerate(entries):
            style.seeds(axes, y + shift, entry[which], color, words if y == 0 else None)
    for y, entry in enumerate(entries):
        if entry["reading"] in PAPER:
            axes.plot(PAPER[entry["reading"]], y, "D", markersize=6, color=style.COLORS[1],
                      fillstyle="none")
    axes.set_yticks(range(len(entries)), map(described, entries))
    axes.set_xlabel("test accuracy, %: dots the seeds, bars their mean, diamonds the paper")
    axes.legend(fontsize=8, frameon=False)
    return figure
