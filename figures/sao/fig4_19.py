"""Fig. 4.19: accuracy of LipConvNet-N on CIFAR-10: dense, pruned and SAO-ECO.

Thesis: Section 4.4.2.1: N = 5 to 15, 200 epochs; only SAO trains from 93.75 % sparsity on, RG up to
50 %. Make: python figures/make.py sao.fig4_19 --scale quick (N = 5, W = 16 in place of 32,
one epoch); full scale is for a GPU.
"""

import functools

from minicaffe import nets

from .sparse_nets import Comparison, Panel
from .training_runs import SMOKE, Length
from .vanilla import ECO


def _title(layers, width):
    return f"LipConvNet-{layers}, W = {width}"


LENGTHS = {"smoke": SMOKE, "quick": Length(1), "full": Length(200)}
METHODS = "Dense", "LMP-S", "LMP-T", "RG-S", "RG-T", "SAO"
SPARSITIES = 0.5, 0.75, 0.875, 0.9375, 0.96875
LAYERS = 5, 10, 15
WIDTH = 32
PAPER = {(_title(n, WIDTH), method, sparsity): "trains" if method == "SAO" else "untrainable"
         for n in LAYERS for method in METHODS[1:] for sparsity in SPARSITIES[3:]}


def panel(layers, sparsities, width=WIDTH):
    return Panel(_title(layers, width), functools.partial(nets.lip_conv_net, layers), ECO,
                 sparsities, "lip_conv_net", options={"width": width})


PANELS = {"smoke": [panel(5, (0.5,), width=2)], "quick": [panel(5, (0.9375,), width=16)],
          "full": [panel(layers, SPARSITIES) for layers in LAYERS]}

comparison = Comparison("LipConvNet on CIFAR-10", PANELS, METHODS, LENGTHS, PAPER)
runs, notes, measure = comparison.runs, comparison.notes, comparison.measure
compare, draw = comparison.compare, comparison.draw
