"""Fig. 5: more blocks give more accuracy per overfitting: test accuracy over Fig. 4's difference.

Paper: Nesky and Stout, Section 4.2.3. Make: python figures/make.py bdip.fig5 --scale full (Fig.
10's runs). Early in training, where the accuracies are hardly apart, the quotient means little.
"""

import numpy as np

from . import fig4

PAPER_ONE_BLOCK = 76.29 / 7.03
notes, runs, measure = fig4.notes, fig4.runs, fig4.measure


def quotients(numbers):
    """{blocks: test accuracy / (train - test), by iteration}; NaN where train isn't above test."""
    gaps = fig4.gaps(numbers)
    return {m["blocks"]: np.divide(m["test"][1:], gaps[m["blocks"]], where=gaps[m["blocks"]] > 0,
                                   out=np.full(len(m["test"]) - 1, np.nan))
            for m in numbers["members"]}


def compare(numbers):
    return [(f"test accuracy / (train - test), b1 = {b}", PAPER_ONE_BLOCK if b == 1 else None,
             values[-1]) for b, values in quotients(numbers).items()]


def draw(numbers):
    figure = fig4.draw_curves(numbers, quotients(numbers), "test accuracy / (train - test)")
    figure.axes[0].set_ylim(0, 60)
    return figure
