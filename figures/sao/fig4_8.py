"""Fig. 4.8: mean and spread of MLP-7's singular values by epoch: dense, pruned and SAO.

Thesis: Section 4.2.1. They are those of the seven weight matrices together, before each epoch; bars
in the thesis, here a band, show the variance. Make: python figures/make.py sao.fig4_8 --scale full
--jobs 2 (Fig. 4.7's runs).
"""

import numpy as np

from . import mlp7_curves
from .mlp7_curves import by_activation, measure, notes, runs

__all__ = ["measure", "notes", "runs"]


def compare(numbers):
    """At the end of training, and whose mean stays nearest to 1."""
    rows = []
    for activation, methods in by_activation(numbers).items():
        rows += [(f"{activation}, {method}: mean of singular values at the end", None,
                  member["sv_mean"][-1]) for method, member in methods.items()]
        rows += [(f"{activation}, {method}: their variance", None, member["sv_variance"][-1])
                 for method, member in methods.items()]
        sparse = {m: abs(member["sv_mean"][-1] - 1) for m, member in methods.items()
                  if m != "Dense"}
        if sparse:
            rows.append((f"{activation}: sparse net with the mean nearest to 1",
                         "another" if activation == "ReLU" else "SAO", min(sparse, key=sparse.get)))
    return rows


def draw(numbers):
    figure = mlp7_curves.draw(numbers, "singular values: mean, variance", _plot)
    for axes in figure.axes:
        axes.axhline(1, color="#cc0000", linestyle="--", linewidth=0.8)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.15 * (high - low))       # for the legend above the line
    return figure


def _plot(axes, member, color):
    mean, variance = np.array(member["sv_mean"]), np.array(member["sv_variance"])
    axes.plot(member["sv_epochs"], mean, color=color, linewidth=1.2, label=member["method"])
    axes.fill_between(member["sv_epochs"], mean - variance / 2, mean + variance / 2, color=color,
                      alpha=0.15, linewidth=0)
