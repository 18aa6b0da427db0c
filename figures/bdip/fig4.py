"""Fig. 4: more blocks overfit less: accuracy on the training set minus that on the test set.

Paper: Nesky and Stout, Section 4.2.3: cuda-convnet (b1,1)-BD5 on CIFAR-10. Make: python
figures/make.py bdip.fig4 --scale full --jobs 2 (Fig. 10's runs). Before the end the training
accuracy is of the next 10,000 training pictures each time, at the end of all 50,000. Training goes
through the pictures in order: the nets know those best that they saw last.
"""

import numpy as np

from minicaffe.analysis import plot_style as style

from . import sister_plots as plots
from . import sisters
from .common import CONVNET_FAMILY, cifar_notes

PAPER = {"train": 83.32, "test": 76.29}          # (1,1)-BD5 after 9,000 iterations
FIFTHS = ("train, before the end: the next fifth of the pictures each time; at 4,000 the one just "
          "seen, at 5,000 the one seen longest ago")


def notes(scale):
    return cifar_notes(scale) + [FIFTHS] * (scale == "full")


def runs(scale):
    return sisters.runs(CONVNET_FAMILY, scale)


def measure(scale, load):
    """Accuracies in percent, by iteration."""
    members = []
    found = sisters.finished(CONVNET_FAMILY, scale, load)
    for b, arrays in found.items():
        train = 100 * arrays["train_accuracy"]
        train[-1] = 100 * arrays["final_train_accuracy"]
        members.append({"blocks": b, "train": train, "test": 100 * arrays["test_accuracy"]})
    return {"iterations": found[1]["test_iterations"], "members": members}


def gaps(numbers):
    """{blocks: train minus test accuracy, points, by iteration}, without iteration 0."""
    return {m["blocks"]: np.subtract(m["train"], m["test"])[1:] for m in numbers["members"]}


def compare(numbers):
    first = numbers["members"][0]
    rows = [(f"{which} accuracy, one block, %", PAPER[which], first[which][-1])
            for which in ("train", "test")]
    return rows + [(f"train minus test, b1 = {b}, points", 7.03 if b == 1 else None, gap[-1])
                   for b, gap in gaps(numbers).items()]


def draw(numbers):
    return draw_curves(numbers, gaps(numbers), "train minus test accuracy, points")


def draw_curves(numbers, curves, ylabel):
    """A curve a member, {blocks: values from the second test on}."""
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, ylabel, "cuda-convnet (b1,1)-BD5 on CIFAR-10")
    for b, values in curves.items():
        axes.plot(numbers["iterations"][1:], values, marker="o", markersize=3,
                  color=plots.color(b, list(curves)), label=f"({b},1)-BD5")
    style.iteration_axis(axes)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    return figure
