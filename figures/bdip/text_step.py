"""Section 5, Eq. 4: the covariance of weights and gradient drives the change of their variance.

Paper: Nesky and Stout: "the covariance quickly became the dominating term"; no numbers given. LeNet
on MNIST, every 200th step; momentum and decay, which Eq. 4 leaves out, are in the measured change.
Make: python figures/make.py bdip.text_step --scale full (Fig. 6's run of one block).
"""

import numpy as np

from minicaffe.analysis import plot_style as style

from .common import lenet, mnist_notes

TERMS = {"gradient_term": "rate$^2$ Var(g)", "covariance_term": "-2 rate Cov(W, g)",
         "measured": "measured change, with momentum and decay"}
notes = mnist_notes


def runs(scale):
    return [lenet((1, 1), scale)]


def measure(scale, load):
    arrays = load(runs(scale)[0])
    return {"layers": [{"layer": layer, "iterations": arrays[f"{layer}.iterations"],
                        **{term: arrays[f"{layer}.{term}"] for term in TERMS}}
                       for layer in ("ip1", "ip2")]}


def compare(numbers):
    rows = []
    for layer in numbers["layers"]:
        ratio = np.abs(np.divide(layer["covariance_term"], layer["gradient_term"]))
        rows.append((f"{layer['layer']}: median |covariance term / gradient term|", "> 1",
                     float(np.median(ratio))))
    return rows


def draw(numbers):
    figure = style.new_figure(7.5, 6.5)
    for axes, layer in zip(figure.subplots(2, 1, sharex=True), numbers["layers"]):
        style.clean(axes, "|change of Var(W)| in a step", f"{layer['layer']} of LeNet on MNIST")
        for color, (term, words) in zip(style.COLORS, TERMS.items()):
            axes.semilogy(layer["iterations"], np.abs(layer[term]), color=color, label=words)
    style.iteration_axis(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure
