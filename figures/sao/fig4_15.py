"""Fig. 4.15: accuracy of vanilla CNNs with ReLU on CIFAR-10: dense, pruned and SAO-Delta.

Thesis: Section 4.4.1.1: N = 32 to 768 layers of W = 32 to 256 channels, 200 epochs; which sizes
have a panel is partly garbled. At the highest sparsity only SAO trains. Make: python
figures/make.py sao.fig4_15 --scale quick --jobs 2: N = 32, W = 32, one epoch, 10 minutes a run with
both cores busy; full scale is for a GPU.
"""

from .sparse_nets import Comparison
from .training_runs import SMOKE, Length
from .vanilla import cifar10_panels, highest

LENGTHS = {"smoke": SMOKE, "quick": Length(1), "full": Length(200)}
METHODS = "Dense", "LMP-S", "LMP-T", "RG-S", "SAO"
PAPER = {(f"N = {n}, W = {w}", method, highest(w)): "trains" if method == "SAO" else "untrainable"
         for n, w in [(32, 32), (128, 32), (256, 32)] for method in METHODS[1:]}

comparison = Comparison("Vanilla CNN (ReLU) on CIFAR-10", cifar10_panels("ReLU"), METHODS, LENGTHS,
                        PAPER)
runs, notes, measure = comparison.runs, comparison.notes, comparison.measure
compare, draw = comparison.compare, comparison.draw
