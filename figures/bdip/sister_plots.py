"""The panels that Figs. 6 to 12 share."""

import matplotlib
import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.spectra import ratio_to_random

from .sisters import variance_ratios


def color(b, blocks):
    """A colour for a number of blocks; grey for 1, dark to light for more."""
    if b == 1:
        return style.GREY
    several = [other for other in blocks if other > 1]
    share = several.index(b) / max(1, len(several) - 1)
    return matplotlib.colormaps["viridis"](0.82 * share)


def draw_ratios(axes, numbers, layers, title):
    """Variance ratios against the iteration, with a dotted line where each began."""
    style.clean(axes, "variance of ip1 / that of one block", title)
    ratios = variance_ratios(numbers)
    for b, ratio in ratios.items():
        shade = color(b, [1, *ratios])
        axes.plot(numbers["iterations"], ratio, color=shade, label=f"({b},1)-BD{layers}")
        axes.axhline(ratio[0], color=shade, linestyle=":", linewidth=0.9)
        axes.annotate(f"{ratio[-1]:.4g}", (numbers["iterations"][-1], ratio[-1]), color=shade,
                      fontsize=8, xytext=(4, 0), textcoords="offset points", va="center",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    style.iteration_axis(axes)
    axes.legend(fontsize=8, ncols=3, loc="upper left", frameon=False)


def separate_labels(axes, gap=11):
    """Move annotations of an axes, whose limits are final, up until they are gap points apart."""
    axes.figure.draw_without_rendering()                 # the layout is made as it is drawn
    points = 72 / axes.figure.dpi
    heights = {label: axes.transData.transform(label.xy)[1] * points for label in axes.texts}
    lowest = -np.inf
    for label in sorted(heights, key=heights.get):
        lowest = max(heights[label], lowest + gap)
        label.set_position((label.get_position()[0], lowest - heights[label]))


def draw_values(axes, numbers, layers, ratio, expected=None):
    """Sorted singular values against their order; with `ratio` divided by R's.

    expected: function of b, the ratio that a random matrix would show, drawn dotted.
    """
    what = "singular value / that of R, by order" if ratio else "singular value, by order"
    style.clean(axes, what)
    order = np.arange(1, len(numbers["random"]) + 1)
    blocks = [member["blocks"] for member in numbers["members"]]
    for member in numbers["members"]:
        b, values = member["blocks"], member["singular_values"]
        values = ratio_to_random(values, numbers["random"]) if ratio else values
        axes.plot(order, values, color=color(b, blocks), linewidth=1.2, label=f"({b},1)-BD{layers}")
        if expected and ratio:
            axes.axhline(expected(b), color=color(b, blocks), linestyle=":", linewidth=0.9)
    if not ratio:               # else R is the line at 1
        axes.plot(order, numbers["random"], color="black", linestyle="--", label="R")
    axes.set_xlabel("order (1: the largest)")
    axes.legend(fontsize=8, ncols=2, frameon=False)


def draw_density(numbers, family):
    """Fig. 9's and Fig. 12's picture: two histograms and the law."""
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    (m, n), edges = family.shape, np.asarray(numbers["edges"])
    style.clean(axes, "density", f"eigenvalues of WW$^T$/{n}, W = {family.name}'s ip1, {m} x {n}")
    axes.stairs(numbers["W"], edges, fill=True, color=style.COLORS[5], alpha=0.6,
                label="trained weights W")
    axes.stairs(numbers["R"], edges, color=style.COLORS[1], linewidth=1.5,
                label="random matrix R of the same variance")
    axes.plot(numbers["law_x"], numbers["law_density"], color="black", linestyle="--",
              label="Marchenko and Pastur's law")
    axes.set_xlabel(f"eigenvalue; {100 * numbers['mass_at_zero']:.1f} % are 0 in all three, "
                    f"{100 * numbers['outside']['W']:.1f} % of W's lie further right")
    axes.legend(fontsize=9, frameon=False)
    return figure


def draw_variances_and_values(numbers, family, title):
    """Fig. 8's and Fig. 11's picture: variances by iteration above singular values by order."""
    figure = style.new_figure(7.5, 7.5)
    above, below = figure.subplots(2, 1)
    style.clean(above, "variance of ip1's weights", title)
    blocks = [member["blocks"] for member in numbers["members"]]
    for member in numbers["members"]:
        above.plot(numbers["iterations"], member["variance"], color=color(member["blocks"], blocks),
                   label=f"({member['blocks']},1)-BD{family.layers}")
    style.log_axis(above, [value for member in numbers["members"] for value in member["variance"]])
    style.iteration_axis(above)
    low, high = above.get_ylim()
    above.set_ylim(low, high * (high / low) ** 0.3)               # room for the legend
    above.legend(fontsize=8, ncols=4, loc="upper left", frameon=False)
    draw_values(below, numbers["spectra"], family.layers, ratio=False)
    return figure
