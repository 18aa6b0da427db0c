"""Fig. 8: the first fully connected layer projected to rank 10: norm kept, accuracy lost, elbow.

Report: Section 3.3, averages of ten experiments, 100 ||W_k||_F / ||W||_F and a - a_proj; it finds
the elbow of the residuals at k = 10 in all its nets. Here after training and at the lowest loss on
the test set; also LeNet-300-100, the update (W_0 + (W - W_0)_k, Nagarajan and Kolter) and the elbow
of two residuals, ||W - W_k||_F and ||W - W_k||_2. VGG19 is left to a GPU. Make:
python figures/make.py redundancy.fig8 --scale full --jobs 2 (the runs of Figs. 2, 6 and 7).
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.redundancy import (elbow, rank_projection, residuals, unit_rows,
                                           update_projection)
from minicaffe.analysis.spectra import singular_values
from minicaffe.analysis.unit_outputs import accuracies_with
from minicaffe.backend import to_numpy

from .common import MEMBERS, done, notes_for, runs_of, trained_net

NAMES = "conv2", "conv6", "vgg19", "lenet_300_100"
LAYER, RANK = "ip1", 10
RANKS = 1, 2, 4, 7, 10, 14, 20, 30, 50, 100
# norm kept, points lost, elbow
PAPER = {"Conv-2": (71.61, 5.21, 10), "Conv-6": (61.43, 1.61, 10), "VGG19": (99.99, 0.0, 10)}
notes, runs = notes_for(*NAMES), runs_of(*NAMES)


def measure(scale, load):
    return {"members": [_member(name, run, arrays, scale) for name in NAMES
                        for run, arrays in done(name, scale, load)]}


def _member(name, run, arrays, scale):
    """Shares of the norm kept (%), and points of accuracy lost, by rank: at the end of training
    and, of W alone, at the lowest loss."""
    start = arrays[f"{LAYER}.history"][0]
    ranks = [k for k in RANKS if k < len(start)] if scale != "smoke" else [RANK]
    W, accuracy, lost = _projected(run, scale, True, lambda W: [
        *(rank_projection(W, k) for k in ranks), *(update_projection(W, start, k) for k in ranks)])
    best, best_accuracy, best_lost = _projected(run, scale, False, lambda W: [
        rank_projection(W, k) for k in ranks])
    return {"title": MEMBERS[name].title, "seed": run.seed, "ranks": ranks,
            "accuracy": accuracy, "W": _of(unit_rows(W), ranks, lost[:len(ranks)]),
            "update": _of(unit_rows(W - start), ranks, lost[len(ranks):]),
            "accuracy_lowest": best_accuracy, "lowest": _of(unit_rows(best), ranks, best_lost)}


def _projected(run, scale, at_the_end, projections):
    """(W, the net's accuracy (%) with it, points lost with each of projections(W))."""
    with trained_net(run, scale, at_the_end) as (net, batches):
        W = to_numpy(net.params[LAYER][0].data).copy()
        accuracy, *others = 100 * accuracies_with(net, LAYER, [W, *projections(W)], batches)
    return W, accuracy, accuracy - np.array(others)


def _of(rows, ranks, lost):
    left = residuals(rows)
    return {"kept": [100 * (1 - (left[k] / left[0]) ** 2) ** 0.5 for k in ranks], "lost": lost,
            "elbow": elbow(left[1:]) + 1, "spectral_elbow": elbow(singular_values(rows)[1:]) + 1}


def compare(numbers):
    """Means over the runs of each net; standard deviations where there are several."""
    rows = []
    for title in dict.fromkeys(m["title"] for m in numbers["members"]):
        members = [m for m in numbers["members"] if m["title"] == title]
        rows += [(f"{title}{when}: accuracy, %", None, np.mean([m[key] for m in members]))
                 for when, key in (("", "accuracy"), (", lowest loss", "accuracy_lowest"))]
        paper, none = PAPER.get(title, (None,) * 3), (None,) * 3
        for part, when, reported in (("W", "", paper), ("lowest", ", lowest loss", paper),
                                     ("update", ", update", none)):
            rows += _rows(title + when, [m[part] for m in members],
                          members[0]["ranks"].index(RANK), reported)
    return rows


def _rows(label, found, at, reported):
    """Of some projections of ranks, [at] being RANK's."""
    kept, lost = ([each[key][at] for each in found] for key in ("kept", "lost"))
    rows = [(f"{label}: 100 |W_10| / |W|", reported[0], np.mean(kept)),
            (f"{label}: a - a_proj, points", reported[1], np.mean(lost))]
    if len(found) > 1:
        rows += [(f"{label}: standard deviation of {what}", None, np.std(values, ddof=1))
                 for values, what in ((kept, "the norm kept"), (lost, "points lost"))]
    return rows + [(f"{label}: elbow, {norm}", reported[2], np.mean([each[key] for each in found]))
                   for norm, key in (("Frobenius", "elbow"), ("spectral", "spectral_elbow"))]


def draw(numbers):
    figure = style.new_figure(9, 3.8)
    left, right = figure.subplots(1, 2)
    style.clean(left, "100 ||W$_k$||$_F$ / ||W||$_F$", "norm kept by rank k")
    style.clean(right, "points of accuracy lost", "a - a$_{proj}$")
    titles = list(dict.fromkeys(m["title"] for m in numbers["members"]))
    for member in numbers["members"]:
        color, first = style.COLORS[titles.index(member["title"])], member["seed"] == 1
        for part, line in ("W", "-o"), ("update", "--^"):
            look = {"color": color, "markersize": 3, "linewidth": 1}
            what = member["title"] + ", W - W$_0$" * (part == "update")
            left.plot(member["ranks"], member[part]["kept"], line, **look,
                      label=what if first else None)
            right.plot(member["ranks"], member[part]["lost"], line, **look)
    for title, (kept, lost, _) in PAPER.items():
        if title in titles:
            look = {"color": style.COLORS[titles.index(title)], "fillstyle": "none"}
            left.plot(RANK, kept, "D", label=f"{title}, report", **look)
            right.plot(RANK, lost, "D", **look)
    for axes in left, right:
        axes.set_xscale("log")
        axes.set_xlabel("rank k")
        axes.xaxis.set_major_formatter(style.plain)
    left.legend(fontsize=7, frameon=False)
    return figure
