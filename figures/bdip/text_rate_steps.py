"""cuda-convnet whose rate falls after 8,000 or 4,000 of 9,000 iterations: which is the paper's?

Paper: Nesky and Stout, Sections 4.2.3 and 5.2 on cuda-convnet; when they divided the rate by ten
they don't say, Caffe's quick solver does after 4,000. Make: python figures/make.py
bdip.text_rate_steps --scale full --jobs 2: Fig. 10's runs for 1 and 64 blocks, and two of 25
minutes on one core each.
"""

from minicaffe.analysis import plot_style as style

from . import text_cifar_pruning, text_ip2_blocks
from .common import CONVNET, cifar_notes, convnet

BLOCKS = 1, 64                                  # of ip1
NINTHS = 8, 4                                   # of the iterations at the first rate
PAPER = {"test accuracy, dense, %": 76.29, "training accuracy, dense, %": 83.32,
         "train minus test, dense, points": 7.03, "variance of ip1, dense": 7e-3,
         "the same, 64 blocks over dense": 1.5}
notes = cifar_notes


def runs(scale):
    return [convnet((b, 1), scale, ninths=ninths) for ninths in NINTHS for b in BLOCKS]


def summary(arrays):
    """After training: percent on the test and the whole training set, variance of ip1's weights."""
    return {**text_cifar_pruning.summary(arrays), **text_ip2_blocks.summary(arrays)}


def measure(scale, load):
    """Per length of the first rate, in iterations, where both nets are trained: PAPER's values."""
    found = []
    for ninths in NINTHS:
        dense, blocks = (load(convnet((b, 1), scale, ninths=ninths)) for b in BLOCKS)
        if dense and blocks:
            values = (dense["test"], dense["train"], dense["train"] - dense["test"],
                      dense["variance"], blocks["variance"] / dense["variance"])
            found.append({"first": CONVNET[scale].iterations * ninths // 9,
                          "values": dict(zip(PAPER, values))})
    return {"lengths": found}


def compare(numbers):
    return [(f"{name}; rate falls after {length['first']:,}", paper, length["values"][name])
            for name, paper in PAPER.items() for length in numbers["lengths"]]


def draw(numbers):
    figure = style.new_figure(7, 3.5)
    axes = figure.subplots()
    style.clean(axes, title="cuda-convnet, by when its rate falls")
    names = list(PAPER)[::-1]
    axes.axvline(1, color=style.GREY, linewidth=1)
    for color, length in zip(style.COLORS, numbers["lengths"]):
        axes.plot([length["values"][name] / PAPER[name] for name in names], range(len(names)), "o",
                  color=color, label=f"{length['first']:,} iterations")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("here over the paper's")
    axes.legend(title="rate falls after", title_fontsize=8, fontsize=8, frameon=False,
                loc="lower right")
    return figure
