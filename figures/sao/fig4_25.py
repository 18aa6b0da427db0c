"""Fig. 4.25: how many numbers a sparse 1024 x 1024 matrix takes, by density and format.

Thesis: Section 4.5: compressed sparse rows (CSR) for any matrix, its own format for one on a
Ramanujan graph; beside them what this package stores, blocks and the orders of rows and columns.
Make: python figures/make.py sao.fig4_25 --scale full (seconds).
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.storage import block_elements, compact_elements, csr_elements
from minicaffe.structured import ramanujan

from .common import SEED, notes_for, runs

__all__ = ["runs"]
WIDTHS = {"smoke": 64, "quick": 1024, "full": 1024}
FORMATS = {"CSR": "CSR", "compact": "the thesis's format", "blocks": "this package's"}
notes = notes_for(WIDTHS)


def measure(scale, load):
    n, rng = WIDTHS[scale], np.random.default_rng(SEED)
    degrees = [degree for degree in ramanujan.valid_degrees(n, n) if degree <= n // 2]
    layouts = [ramanujan.structure(n, n, degree, rng).layout for degree in degrees]
    return {"width": n, "degree": degrees, "density": [degree / n for degree in degrees],
            "CSR": [csr_elements(layout.weights, n) for layout in layouts],
            "compact": [compact_elements(layout.weights, n, n) for layout in layouts],
            "blocks": [block_elements(layout) for layout in layouts]}


def compare(numbers):
    rows = []
    for degree in (4, 16, numbers["degree"][-1]):
        i = numbers["degree"].index(degree)
        rows += [(f"degree {degree}: {FORMATS[name]} / CSR", None,
                  numbers[name][i] / numbers["CSR"][i]) for name in ("compact", "blocks")]
    return rows


def draw(numbers):
    n = numbers["width"]
    figure = style.new_figure(9, 4)
    for axes, log in zip(figure.subplots(1, 2), (False, True)):
        style.clean(axes, title=None if log else f"{n} x {n} matrix")
        for name, color, line in zip(FORMATS, style.COLORS, style.LINES):
            axes.plot(numbers["density"], numbers[name], line, color=color, marker="o",
                      markersize=3, label=FORMATS[name])
        axes.set_xlabel("density")
        if log:
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=10)
            axes.set_title("the same, logarithmic", loc="left", fontsize=10)
        else:
            axes.set_ylabel("numbers to store")
            axes.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
            axes.legend(fontsize=9, frameon=False)
    return figure
