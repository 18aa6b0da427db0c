"""Fig. 10: cuda-convnet's ip1: variance whatever the blocks, singular values 1/sqrt(b1) of R's.

Paper: Nesky and Stout, Section 5.2: 9,000 iterations on CIFAR-10; ip1 is filled with one standard
deviation, whatever b1. Make: python figures/make.py bdip.fig10 --scale full --jobs 2, 7 runs of
about 30 minutes on one core each, which Figs. 4, 5, 11 and 12 share.
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.spectra import ratio_to_random

from . import sister_plots as plots
from . import sisters
from .common import CONVNET_FAMILY, cifar_notes

PAPER_RATIOS = {2: 1.02, 4: 1.02, 8: 1.01, 16: 1.11, 32: 1.21, 64: 1.5}
notes = cifar_notes


def runs(scale):
    return sisters.runs(CONVNET_FAMILY, scale)


def measure(scale, load):
    found = sisters.finished(CONVNET_FAMILY, scale, load)
    return {**sisters.variances(found), "spectra": sisters.final_spectra(CONVNET_FAMILY, found)}


def compare(numbers):
    ratios, spectra = sisters.variance_ratios(numbers), numbers["spectra"]
    rows = [(f"final variance ratio, b1 = {b}", PAPER_RATIOS[b], ratio[-1])
            for b, ratio in ratios.items()]
    rows.append(("final variance of ip1, one block", 7e-3, spectra["variance"]))
    return rows + [
        (f"mean of sigma_W / sigma_R, b1 = {m['blocks']} (1 / sqrt(b1))", m["blocks"] ** -0.5,
         float(np.mean(ratio_to_random(m["singular_values"], spectra["random"]))))
        for m in spectra["members"]]


def draw(numbers):
    figure = style.new_figure(7.5, 7.5)
    above, below = figure.subplots(2, 1)
    plots.draw_ratios(above, numbers, 5, "cuda-convnet on CIFAR-10")
    above.margins(x=0.08, y=0.3)
    plots.draw_values(below, numbers["spectra"], 5, ratio=True, expected=lambda b: b ** -0.5)
    below.set_ylim(0, 1.5)               # room for the legend above the values of one block
    below.set_title("dotted: 1 / sqrt(b1), as for random matrices", loc="left", fontsize=9)
    plots.separate_labels(above)
    return figure
