"""Fig. 8: variances and singular values of LeNet's ip1 themselves, without a ratio.

Paper: Nesky and Stout, Section 5.1. Make: python figures/make.py bdip.fig8 --scale full (Fig. 6's
ReLU runs).
"""

from . import sister_plots as plots
from . import sisters
from .common import LENET_FAMILY, mnist_notes

notes = mnist_notes


def runs(scale):
    return sisters.runs(LENET_FAMILY, scale)


def measure(scale, load):
    found = sisters.finished(LENET_FAMILY, scale, load)
    return {**sisters.variances(found), "spectra": sisters.final_spectra(LENET_FAMILY, found)}


def compare(numbers):
    return sisters.compare_variances(numbers, {1: 6.6e-4})


def draw(numbers):
    return plots.draw_variances_and_values(numbers, LENET_FAMILY, "LeNet on MNIST")
