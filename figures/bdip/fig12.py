"""Fig. 12: the spectral density of cuda-convnet's trained ip1 beside that of a random matrix.

Paper: Nesky and Stout, Section 5.2: eigenvalues of W1 W1^T / 64 after 9,000 iterations, W1 of
(1,1)-BD5 as 1024 x 64. Make: python figures/make.py bdip.fig12 --scale full (one run of Fig. 10).
"""

from . import sister_plots as plots
from . import sisters
from .common import CONVNET_FAMILY, cifar_notes

notes = cifar_notes


def runs(scale):
    return [CONVNET_FAMILY.run(1, scale)]


def measure(scale, load):
    alone = CONVNET_FAMILY._replace(blocks=(1,))
    return sisters.density(alone, sisters.finished(alone, scale, load))


compare = sisters.compare_density


def draw(numbers):
    return plots.draw_density(numbers, CONVNET_FAMILY)
