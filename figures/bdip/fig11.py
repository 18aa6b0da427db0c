"""Fig. 11: variances and singular values of cuda-convnet's ip1 themselves, without a ratio.

Paper: Nesky and Stout, Section 5.2. Make: python figures/make.py bdip.fig11 --scale full (Fig. 10's
runs).
"""

from . import sister_plots as plots
from . import sisters
from .common import CONVNET_FAMILY, cifar_notes

notes = cifar_notes


def runs(scale):
    return sisters.runs(CONVNET_FAMILY, scale)


def measure(scale, load):
    found = sisters.finished(CONVNET_FAMILY, scale, load)
    return {**sisters.variances(found), "spectra": sisters.final_spectra(CONVNET_FAMILY, found)}


def compare(numbers):
    return sisters.compare_variances(numbers, {1: 7e-3})


def draw(numbers):
    return plots.draw_variances_and_values(numbers, CONVNET_FAMILY, "cuda-convnet on CIFAR-10")
