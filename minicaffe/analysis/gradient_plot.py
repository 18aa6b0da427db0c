"""The picture of a GradientHistory: one panel a quantity, one line a parameter."""

import numpy as np
from matplotlib.colors import to_hex
from matplotlib import colormaps

from . import plot_style as style

PANELS = (("weight_norm", "weight  |w|"), ("gradient_norm", "gradient  |dw|, before the update"),
          ("update_norm", "update  |v|, as subtracted from w"),
          ("ratio", "relative update  |v| / |w|"),
          ("gradient_zeros", "zeros in the gradient, %"),
          ("weight_zeros", "zeros in the weight, %"))


def plot_history(history, path, title):
    """Write a PNG: norms and ratio on logarithmic axes, shares of zeros in percent."""
    looks = parameter_looks(history.names)
    columns = min(len({look["color"] for look in looks}), 8)       # one a layer, if they fit
    figure = style.new_figure(12, 9.4 + 0.25 * -(-len(looks) // columns))
    grid = figure.subplots(3, 2, sharex=True)
    for axes, (field, label) in zip(grid.flat, PANELS):
        values = getattr(history, field)
        style.clean(axes, title=label)
        if field.endswith("zeros"):
            values = 100 * values
            top = 1.1 * max(values.max(), 4)
            axes.set_ylim(-0.03 * top, min(top, 103))
        for j, look in enumerate(looks):
            axes.plot(history.iterations, values[:, j], **look)
        if not field.endswith("zeros"):
            style.log_axis(axes, values)
        axes.margins(x=0.01)
    for axes in grid[-1]:
        style.iteration_axis(axes)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.legend(grid[0, 0].get_lines(), history.names, loc="outside lower center",
                  ncols=columns, frameon=False, fontsize=10)
    style.save(figure, path)


def parameter_looks(names):
    """Line properties of each parameter: a colour a layer, a dash pattern for [0], [1], ..."""
    layers = list(dict.fromkeys(name.rpartition("[")[0] for name in names))
    colors = style.COLORS if len(layers) <= len(style.COLORS) else \
        [to_hex(c) for c in colormaps["turbo"](np.linspace(0.05, 0.95, len(layers)))]
    looks = []
    for name in names:
        layer, _, index = name.rpartition("[")
        number = int(index.rstrip("]"))
        looks.append({"color": colors[layers.index(layer)], "linewidth": 1.6 if not number else 1.1,
                      "linestyle": style.LINES[number % len(style.LINES)]})
    return looks
