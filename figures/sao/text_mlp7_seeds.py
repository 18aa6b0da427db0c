"""Section 4.2.1: how far MLP-7 with a tenth of its weights is from the dense net, over three seeds.

Thesis: Fig. 4.7, SAO within a point of dense. Make: python figures/make.py sao.text_mlp7_seeds
--scale full --jobs 2: 16 runs beside that figure's, of 2 to 3 minutes on a free core each.
"""

import numpy as np

from minicaffe.analysis import plot_style as style

from . import mlp7_curves, mlps
from .training_runs import accuracies

SEEDS = {"smoke": (1,), "quick": (1,), "full": (1, 2, 3)}
METHODS = "Dense", "SAO"
notes = mlp7_curves.notes


def chosen(scale):
    """{activation: {method: Runs, one a seed}}"""
    activations = mlps.ACTIVATIONS if scale != "smoke" else mlps.ACTIVATIONS[:1]
    return {activation: {method: [mlps.mlp7(activation, method, scale, seed)
                                  for seed in SEEDS[scale]] for method in METHODS}
            for activation in activations}


def runs(scale):
    return [run for methods in chosen(scale).values() for wanted in methods.values()
            for run in wanted]


def measure(scale, load):
    """Percent on the test set after training, of the seeds of which both nets are done."""
    entries = []
    for activation, methods in chosen(scale).items():
        pairs = [[load(run) for run in pair] for pair in zip(*(methods[m] for m in METHODS))]
        done = [[float(accuracies(arrays)[-1]) for arrays in pair] for pair in pairs
                if all(arrays is not None for arrays in pair)]
        if done:
            dense, sparse = zip(*done)
            entries.append({"activation": activation, "Dense": dense, "SAO": sparse})
    return {"entries": entries}


def compare(numbers):
    rows = []
    for e in numbers["entries"]:
        gaps = np.subtract(e["SAO"], e["Dense"])
        seeds = f"{len(gaps)} seed{'s' * (len(gaps) > 1)}"
        rows += [(f"{e['activation']}: SAO minus dense, points, mean of {seeds}",
                  "within 1 point", float(gaps.mean())),
                 (f"{e['activation']}: largest loss of a seed", None, float(gaps.min()))]
    return rows


def draw(numbers):
    figure = style.new_figure(7, 3.6)
    axes = figure.subplots()
    style.clean(axes, "test accuracy, %", "MLP-7 on MNIST; SAO: a tenth of its weights")
    for x, e in enumerate(numbers["entries"]):
        for shift, method, color in (-0.12, "Dense", style.GREY), (0.12, "SAO", style.COLORS[0]):
            label = method if x == 0 else None
            axes.plot([x + shift] * len(e[method]), e[method], "o", color=color, alpha=0.6,
                      label=label)
            axes.plot(x + shift, np.mean(e[method]), "_", markersize=18, color=color)
    axes.set_xticks(range(len(numbers["entries"])), [e["activation"] for e in numbers["entries"]])
    axes.set_xlim(-0.5, len(numbers["entries"]) - 0.5)
    axes.set_xlabel("dots: seeds, lines: their means")
    axes.legend(fontsize=9, frameon=False, loc="lower right")
    return figure
