"""Fig. 7: how far the singular values of LeNet's ip1 are from a random matrix's, by iteration.

Paper: Nesky and Stout, Section 5.1: the mean over order of |1 - sigma_W / sigma_R|, R of b1 = 1's
variance at that iteration. Make: python figures/make.py bdip.fig7 --scale full (Fig. 6's runs with
ReLU).
"""

from minicaffe.analysis import plot_style as style

from . import sister_plots as plots
from . import sisters
from .common import LENET_FAMILY, mnist_notes

notes = mnist_notes


def runs(scale):
    return sisters.runs(LENET_FAMILY, scale)


def measure(scale, load):
    return sisters.distances(LENET_FAMILY, sisters.finished(LENET_FAMILY, scale, load))


def compare(numbers):
    members = numbers["members"]
    rows = [(f"at the end, b1 = {m['blocks']}", "<= 0.04", m["distance"][-1]) for m in members]
    first, last = members[0]["distance"], members[-1]["distance"]
    return rows + [("at the start: fewest blocks nearer to R", "yes", yes(first[0] < last[0])),
                   ("at the end: most blocks nearer to R", "yes", yes(last[-1] < first[-1]))]


def yes(condition):
    return "yes" if condition else "no"


def draw(numbers):
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, "E|1 - sigma$_W$ / sigma$_R$|", "LeNet on MNIST: ip1's distance from random")
    blocks = [member["blocks"] for member in numbers["members"]]
    for member in numbers["members"]:
        b = member["blocks"]
        axes.plot(numbers["iterations"], member["distance"], color=plots.color(b, blocks),
                  label=f"({b},1)-BD4")
    axes.set_ylim(bottom=0)
    style.iteration_axis(axes)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    return figure
