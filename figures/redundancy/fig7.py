"""Fig. 7: spectral densities of VGG19's first fully connected and last convolutional layers.

Report: Section 3.3, Q = 1 and Q = 9. VGG19 is left to a GPU (--gpu 0); on a CPU here are the same
layers of Conv-6, Q = 16 and Q = 9. Make:
python figures/make.py redundancy.fig7 --scale full (one run of an hour and a quarter on a free core).
"""

from . import densities
from .common import MEMBERS, notes_for, runs_of

NAMES = "vgg19", "conv6"
notes, runs = notes_for(*NAMES), runs_of(*NAMES)
draw = densities.draw


def measure(scale, load):
    return densities.measure([(name, layer) for name in NAMES
                              for layer in ("ip1", MEMBERS[name].conv)], scale, load)


def compare(numbers):
    return densities.compare(numbers, {"VGG19, ip1": 1, "VGG19, conv5_4": 9, "Conv-6, ip1": 16})
