"""What the package's pictures share: colours, axes, tick labels, writing PNG files."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..files import atomic_write

# Okabe and Ito's colours, which colour-blind readers can tell apart, the strong ones first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
LINES = ("-", "--", ":", "-.")
GREY = "#666666"


def new_figure(width, height):
    """A Figure (inches) that needs no display and lays its panels out by itself."""
    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def clean(axes, ylabel=None, title=None):
    """Light grid, no frame at the top and right, what is plotted and its unit."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in "top", "right":
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9, color="#999999")
    if ylabel:
        axes.set_ylabel(ylabel)
    if title:
        axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")


def iteration_axis(axes):
    """Whole iterations, with a comma between thousands."""
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.set_xlabel("iteration")


def log_axis(axes, values):
    """A logarithmic y axis, if all values are positive or zero and span more than a factor of 8.

    It is labelled as log_labels says.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not len(positive) or values.min() < 0 or positive.max() < 8 * positive.min():
        return
    axes.set_yscale("log", nonpositive="mask")
    low, high = positive.min(), positive.max()
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.05)
    log_labels(axes.yaxis, np.log10(high / low))


def log_labels(axis, decades):
    """Plain numbers along a logarithmic axis, at 1, 2 and 5 where it spans two decades or fewer."""
    steps = {"numticks": 8} if decades > 2 else {"subs": (1, 2, 5), "numticks": 12}
    axis.set_major_locator(LogLocator(10, **steps))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_locator(NullLocator())


def plain(value, _=None):
    """A number without 1e-05's padding: 0.001, 1e-5, 20000."""
    text = f"{value:g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def seeds(axes, y, values, color, label=None):
    """At height y a dot for each of the seeds' values and a bar where their mean is, if any."""
    axes.plot(values, [y] * len(values), "o", markersize=4, color=color, alpha=0.5, label=label)
    if values:
        axes.plot(sum(values) / len(values), y, "|", markersize=14, color=color)


def save(figure, path):
    """Write the figure as a PNG, whole or not at all."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
