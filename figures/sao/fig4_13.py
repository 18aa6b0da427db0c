"""Fig. 4.13: accuracy of ResMLP on CIFAR-10: dense, pruned from scratch and SAO.

Thesis: Section 4.3.2: 300 epochs, Adam, CutMix and AutoAugment; at low sparsity LMP-S is better, at
high sparsity SAO. AutoAugment is left out here. Make: python figures/make.py sao.fig4_13 --scale
quick (2 epochs); full scale is for a GPU.
"""

import functools

from minicaffe import nets

from .sparse_nets import Comparison, Panel
from .training_runs import SMOKE, Length

LENGTHS = {"smoke": SMOKE, "quick": Length(2), "full": Length(300)}
METHODS = "Dense", "LMP-S", "SAO"
INITS = "orthogonal", "sao"


def panel(depth, sparsities, **sizes):
    return Panel(f"ResMLP, N = {3 * depth + 2}", functools.partial(nets.resmlp, depth), INITS,
                 sparsities, "mixer", unit="WEIGHT", options=sizes)


PANELS = {"smoke": [panel(1, (0.5,), width=16)], "quick": [panel(12, (0.9375,))],
          "full": [panel(12, (0.5, 0.75, 0.875, 0.9375))]}

comparison = Comparison("ResMLP on CIFAR-10", PANELS, METHODS, LENGTHS)
runs, notes, measure = comparison.runs, comparison.notes, comparison.measure
compare, draw = comparison.compare, comparison.draw
