"""The picture of training logs: loss, test outputs and learning rate against the iteration."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from . import plot_style as style


def plot_logs(logs, path):
    """Write a PNG with a panel each for loss, test accuracies, other test outputs, learning rate.

    logs: a list of TrainingLog, a colour each. Panels nobody has a curve for are left out.
    """
    panels = [(draw, ratio) for draw, ratio, wanted in (
        (_draw_loss, 3, any(len(log.loss) or log.losses for log in logs)),
        (_draw_accuracy, 3, any(_accuracies(log) for log in logs)),
        (_draw_others, 3, any(_others(log) for log in logs)),
        (_draw_rate, 1.4, any(len(log.lr) for log in logs))) if wanted]
    figure = style.new_figure(8.5, 1 + 1.05 * sum(ratio for _, ratio in panels))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False,
                           height_ratios=[ratio for _, ratio in panels])[:, 0]
    colors = [style.COLORS[i % len(style.COLORS)] for i in range(len(logs))]
    for axes, (draw, _) in zip(grid, panels):
        draw(axes, logs, colors)
        axes.margins(x=0.01)
    style.iteration_axis(grid[-1])
    _name_runs(figure, grid[0], logs, colors)
    style.save(figure, path)


def smooth(values):
    """(running means, their window): centred, over a 25th of the points; None where not noisy.

    Noisy: at least 40 points, half of them more than 5 % off their mean. The window is cut at the
    end, and at the start, where losses fall fast, shrunk to both sides. Values that are not finite
    are left out.
    """
    window = len(values) // 25 | 1
    finite = np.isfinite(values)
    if len(values) < 40 or not finite.any():
        return None, 0
    places = np.arange(len(values))
    reach = np.minimum(window // 2, places)
    starts, ends = places - reach, np.minimum(places + reach + 1, len(values))
    sums = np.concatenate([[0], np.cumsum(np.where(finite, values, 0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    number = counts[ends] - counts[starts]
    means = np.where(number > 0, (sums[ends] - sums[starts]) / np.maximum(number, 1), np.nan)
    off = np.abs(values - means)[finite] > 0.05 * np.abs(means[finite])
    return (means, window) if off.mean() > 0.5 else (None, 0)


def _draw_loss(axes, logs, colors):
    style.clean(axes, "loss")
    seen, values = {}, []
    for log, color in zip(logs, colors):
        iterations, losses = log.loss.T
        means, window = smooth(losses)
        values.append(losses if means is None else means)
        if means is None:
            axes.plot(iterations, losses, color=color, linewidth=1.6)
            seen["training, each display"] = {"linewidth": 1.6}
        else:
            axes.plot(iterations, losses, color=color, linewidth=0.7, alpha=0.3)
            axes.plot(iterations, means, color=color, linewidth=1.8)
            seen["training, each display"] = {"linewidth": 0.7, "alpha": 0.6}
            seen[f"training, mean of {window} displays"] = {"linewidth": 1.8}
        for (number, name), curve in _test_curves(log, is_loss=True).items():
            look = {"linestyle": "--", "marker": "o", "markersize": 4, "markerfacecolor": "white",
                    "linewidth": 1.1}
            axes.plot(*curve.T, color=color, **look)
            seen[f"test {_label(logs, number, name)}"] = look
            values.append(curve[:, 1])
    style.log_axis(axes, np.concatenate(values))
    _explain(axes, dict(sorted(seen.items(), reverse=True)), "upper right")


def _draw_accuracy(axes, logs, colors):
    style.clean(axes, "test accuracy, %")
    _draw_outputs(axes, logs, colors, _accuracies, 100, "lower right")
    axes.yaxis.set_major_formatter(FuncFormatter(style.plain))


def _draw_others(axes, logs, colors):
    style.clean(axes, "other test outputs")
    _draw_outputs(axes, logs, colors, _others, 1, "best")


def _draw_outputs(axes, logs, colors, choose, scale, place):
    """Chosen test outputs: a colour a run, a dash pattern an output; last values in figures."""
    keys = sorted({key for log in logs for key in choose(log)})
    seen, curves = {}, []
    for log, color in zip(logs, colors):
        for key, curve in choose(log).items():
            look = {"linestyle": style.LINES[keys.index(key) % len(style.LINES)], "marker": "o",
                    "markersize": 4, "linewidth": 1.4}
            curve = curve * [1, scale]
            axes.plot(*curve.T, color=color, **look)
            axes.annotate(f"{curve[-1, 1]:.4g}", curve[-1], color=color, fontsize=9,
                          xytext=(6, 0), textcoords="offset points", va="center",
                          annotation_clip=False)
            seen[_label(logs, *key)] = look
            curves.append(curve)
    _leave_out_the_start(axes, curves)
    _explain(axes, seen, place)


def _leave_out_the_start(axes, curves):
    """Fit the axis to the values after the first tenth, where the start is far off them."""
    last = max(curve[-1, 0] for curve in curves)
    every = np.concatenate([curve[:, 1] for curve in curves])
    late = np.concatenate([curve[curve[:, 0] > 0.1 * last, 1] for curve in curves])
    every, late = every[np.isfinite(every)], late[np.isfinite(late)]
    if len(late) > 1 and np.ptp(every) > 3 * np.ptp(late) > 0:
        margin = 0.1 * np.ptp(late)
        axes.set_ylim(late.min() - margin, late.max() + margin)


def _draw_rate(axes, logs, colors):
    style.clean(axes, "learning rate")
    for log, color in zip(logs, colors):
        axes.plot(*log.lr.T, color=color, linewidth=1.6)
    values = np.concatenate([log.lr[:, 1] for log in logs])
    axes.set_ylim(0, 1.15 * values.max() or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(style.plain))
    style.log_axis(axes, values)


def _test_curves(log, is_loss):
    return {key: curve for key, curve in log.test.items() if (key[1] in log.losses) == is_loss}


def _is_accuracy(key, curve):
    return "acc" in key[1].lower() and curve[:, 1].min() >= 0 and curve[:, 1].max() <= 1


def _accuracies(log):
    return {k: c for k, c in _test_curves(log, False).items() if _is_accuracy(k, c)}


def _others(log):
    return {k: c for k, c in _test_curves(log, False).items() if not _is_accuracy(k, c)}


def _label(logs, number, name):
    """An output's name, with its test net's number where there are several."""
    several = any(n for log in logs for n, _ in log.test)
    return f"{name} (test net #{number})" if several else name


def _explain(axes, seen, place):
    """A legend of line kinds, in grey: colours stand for runs."""
    if seen:
        lines = [Line2D([], [], **{"color": style.GREY, **look}) for look in seen.values()]
        axes.legend(lines, seen, loc=place, fontsize=9, frameon=True, framealpha=0.85,
                    edgecolor="none")


def _name_runs(figure, axes, logs, colors):
    """The only run's name as a title, or a legend of colours above the panels."""
    if len(logs) == 1:
        axes.set_title(logs[0].name, loc="left", fontsize=11, fontweight="bold")
        return
    lines = [Line2D([], [], color=color, linewidth=3) for color in colors]
    names = [log.name for log in logs]
    if len(set(names)) < len(names):
        names = [log.path for log in logs]
    figure.legend(lines, names, loc="outside upper left",
                  ncols=min(len(logs), 4), fontsize=10, frameon=False)
