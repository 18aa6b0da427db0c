"""Fig. 4.12: accuracy of MLP-Mixer-Nano on CIFAR-10: dense, pruned from scratch and SAO.

Thesis: Section 4.3.1: 33 and 65 layers, 300 epochs, Adam, CutMix and AutoAugment; the dense nets
reach "up to 90 %". AutoAugment is left out here. Make: python figures/make.py sao.fig4_12 --scale
quick (17 layers, one epoch); full scale is for a GPU.
"""

import functools

from minicaffe import nets

from .sparse_nets import Comparison, Panel
from .training_runs import SMOKE, Length

LENGTHS = {"smoke": SMOKE, "quick": Length(1), "full": Length(300)}
METHODS = "Dense", "LMP-S", "RG-S", "SAO"
INITS = "orthogonal", "sao"


def panel(depth, sparsities, **sizes):
    return Panel(f"MLP-Mixer, N = {4 * depth + 1}", functools.partial(nets.mixer_nano, depth),
                 INITS, sparsities, "mixer", unit="WEIGHT", options=sizes)


PANELS = {"smoke": [panel(1, (0.5,), width=16, channel_width=32, token_width=16)],
          "quick": [panel(4, (0.9375,))],
          "full": [panel(depth, (0.5, 0.75, 0.875, 0.9375)) for depth in (8, 16)]}

comparison = Comparison("MLP-Mixer on CIFAR-10", PANELS, METHODS, LENGTHS)
runs, notes, measure = comparison.runs, comparison.notes, comparison.measure
compare, draw = comparison.compare, comparison.draw
