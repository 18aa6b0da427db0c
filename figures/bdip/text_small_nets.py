"""Sections 4.2.1 and 5.1, nets without convolutions: (49,1)-BD2's error, the three-layer net's ip2.

Paper: Nesky and Stout: MNIST, 10,000 iterations. 980 hidden nodes by IP-BDIP: 4.37 % error.
500-500-10, ip2 dense or of 100 blocks: variance 106.42 times as large, singular values a random
matrix's. Make: python figures/make.py bdip.text_small_nets --scale full (4 runs of minutes).
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.spectra import distance_from_random, random_matrix, singular_values

from . import pruned
from .common import LENET, mlp, mnist_notes

notes = mnist_notes


def chosen(scale):
    """The runs by what the text says of them."""
    text = pruned.off_diagonal((49, 1), *pruned.phases(pruned.LENET_PHASES, LENET, scale))
    return {"IP-BDIP": mlp((980, 10), (1, 1), scale, pruning=text, what=", IP-BDIP (49,1)"),
            "BDIP": mlp((980, 10), (49, 1), scale),
            "dense ip2": mlp((500, 500, 10), (1, 1, 1), scale),
            "100 blocks": mlp((500, 500, 10), (1, 100, 1), scale)}


def runs(scale):
    return list(chosen(scale).values())


def measure(scale, load):
    found = {name: load(run) for name, run in chosen(scale).items()}
    numbers = {"errors": {name: 100 - 100 * found[name]["test_accuracy"][-1]
                          for name in ("IP-BDIP", "BDIP") if found[name] is not None}}
    if found["dense ip2"] is not None and found["100 blocks"] is not None:
        numbers["ip2"] = {name: _ip2(found[name]) for name in ("dense ip2", "100 blocks")}
    return numbers


def _ip2(arrays):
    """Final variance of ip2, its singular values, those of two random matrices, and distances.

    random: R, as large as the whole matrix and of its variance, 1/b of that of the b blocks. The
    paper gives R the variance of the blocks, but its numbers are those of this R. random_blocks: as
    many blocks, of their variance.
    """
    weights, variance = arrays["ip2.weights"], arrays["ip2.variance"][-1]
    b, n, k = weights.shape if weights.ndim == 3 else (1, *weights.shape)
    shapes = {"random": ((b * n, b * k), variance / b), "random_blocks": ((b, n, k), variance)}
    values = {"values": singular_values(weights)}
    for name, (shape, spread) in shapes.items():
        matrix = random_matrix(shape, spread, np.random.default_rng(0))
        values[name] = singular_values(matrix)
    return {"variance": variance, **values,
            **{f"distance_{name}": distance_from_random(values["values"], values[name])
               for name in shapes}}


def compare(numbers):
    paper = {"IP-BDIP": 4.37}
    rows = [(f"(49,1)-BD2, 980 hidden nodes, {name}: error, %", paper.get(name), error)
            for name, error in numbers["errors"].items()]
    if "ip2" in numbers:
        dense, blocks = numbers["ip2"]["dense ip2"], numbers["ip2"]["100 blocks"]
        rows += [("three layers: ratio of ip2's variances", 106.42,
                  blocks["variance"] / dense["variance"]),
                 ("three layers: variance of dense ip2", 0.0012, dense["variance"]),
                 ("three layers: variance of ip2's blocks", 0.12, blocks["variance"]),
                 ("dense ip2: E|1 - sigma_W / sigma_R|", 0.1162, dense["distance_random"]),
                 ("100 blocks: E|1 - sigma_W / sigma_R|", 0.0896, blocks["distance_random"]),
                 ("100 blocks, R of 100 blocks too", None, blocks["distance_random_blocks"])]
    return rows


def draw(numbers):
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, "singular value of ip2, by order", "500-500-10 on MNIST after training")
    for color, (name, ip2) in zip(style.COLORS, numbers.get("ip2", {}).items()):
        order = np.arange(1, len(ip2["values"]) + 1)
        axes.plot(order, ip2["values"], color=color, label=name)
        axes.plot(order, ip2["random_blocks"], color=color, linestyle="--",
                  label=f"random, as {name}, of its variance {ip2['variance']:.3g}")
    axes.set_xlabel("order (1: the largest)")
    axes.legend(fontsize=8, frameon=False)
    return figure
