"""What Figs. 4.23 and 4.24 share: a 4 x 4 matrix with 8 nonzeros, and the arrays that store it."""

import numpy as np
from matplotlib.patches import Rectangle

from minicaffe.analysis import plot_style as style

PATTERNS = {"CSR": ["1011", "0110", "0011", "0100"], "compact": ["1100", "0011", "1100", "0011"]}


def example(name):
    """The thesis's matrix: its nonzeros, a to h there, are 1 to 8 in the order of rows."""
    matrix = np.array([[int(bit) for bit in row] for row in PATTERNS[name]])
    matrix[matrix > 0] = np.arange(1, np.count_nonzero(matrix) + 1)
    return matrix


def numbers_of(matrix, arrays, restored):
    """A figure's numbers; restored: the matrix as read back from the arrays {name: array}."""
    return {"matrix": matrix, "arrays": arrays, "numbers": sum(len(a) for a in arrays.values()),
            "restored": bool(np.array_equal(restored, matrix))}


def comparison(numbers, printed, total):
    """Rows: each array beside the thesis's, how many numbers it takes, whether nothing is lost."""
    rows = [(name, " ".join(map(str, printed[name])), " ".join(map(str, array)))
            for name, array in numbers["arrays"].items() if name in printed]
    return [*rows, ("numbers to store", total, numbers["numbers"]),
            ("the arrays give the matrix back", "yes", "yes" if numbers["restored"] else "no")]


def picture(numbers, title):
    """On the left the matrix, on the right its arrays, a cell a number."""
    figure = style.new_figure(7.5, 2.7)
    figure.suptitle(f"{title}: {numbers['numbers']} numbers", fontsize=10.5)
    left, right = figure.subplots(1, 2, width_ratios=(3, 7))
    for i, row in enumerate(numbers["matrix"]):
        _cells(left, i, row, letters=True)
    for i, (name, array) in enumerate(numbers["arrays"].items()):
        _cells(right, 1.5 * i, array, letters=name == "nnz")
        right.text(-0.8, 1.5 * i, name, ha="right", va="center", fontsize=10)
    for axes, end in (left, 3.6), (right, 7.6):
        axes.set_xlim(-2.2 if axes is right else -0.6, end)
        axes.set_ylim(3.7, -0.7)
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def _cells(axes, y, values, letters):
    """A row of numbers; with `letters` 1, 2 ... are written a, b ..., coloured, and 0 is grey."""
    for x, value in enumerate(values):
        stored = letters and value
        color = style.COLORS[5] if stored else "none"
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="#999999",
                                 linewidth=0.7, alpha=0.6))
        axes.text(x, y, chr(ord("a") + value - 1) if stored else str(value), ha="center",
                  va="center", fontsize=10, color=style.GREY if letters and not value else "black")
