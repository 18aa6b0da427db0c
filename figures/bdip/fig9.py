"""Fig. 9: the spectral density of LeNet's trained ip1 lies on that of a random matrix.

Paper: Nesky and Stout, Section 5.1: eigenvalues of W1 W1^T / 500 after 10,000 iterations, W1 of
(1,1)-BD4 as 800 x 500. Make: python figures/make.py bdip.fig9 --scale full (one run of Fig. 6).
"""

from . import sister_plots as plots
from . import sisters
from .common import LENET_FAMILY, mnist_notes

notes = mnist_notes


def runs(scale):
    return [LENET_FAMILY.run(1, scale)]


def measure(scale, load):
    alone = LENET_FAMILY._replace(blocks=(1,))
    return sisters.density(alone, sisters.finished(alone, scale, load))


compare = sisters.compare_density


def draw(numbers):
    return plots.draw_density(numbers, LENET_FAMILY)
