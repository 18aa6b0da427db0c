"""Fig. 8: the first fully connected layer projected to rank 10: norm kept, accuracy lost, elbow.

Report: Section 3.3, averages of ten experiments, 100 ||W_k||_F / ||W||_F and a - a_proj; it finds
the elbow of the residuals at k = 10 in all its nets. Here also LeNet-300-100, the update
(W_0 + (W - W_0)_k, Nagarajan and Kolter) and the elbow of two residuals, ||W - W_k||_F and
||W - W_k||_2. VGG19 is left to a GPU. Make:
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
PAPER = {"Conv-2": (71.61, 5.21), "Conv-6": (61.43, 1.61), "VGG19": (99.99, 0.0)}
ELBOW = {"Conv-2": 10, "Conv-6": 10, "VGG19": 10}
notes, runs = notes_for(*NAMES), runs_of(*NAMES)


def measure(scale, load):
    return {"members": [_member(name, run, arrays, scale) for name in NAMES
                        for run, arrays in done(name, scale, load)]}


def _member(name, run, arrays, scale):
    """Shares of the norm kept (%), and points of accuracy lost, by rank."""
    start = arrays[f"{LAYER}.history"][0]
    ranks = [k for k in RANKS if k < len(start)] if scale != "smoke" else [RANK]
    with trained_net(run, scale) as (net, batches):
        W = to_numpy(net.params[LAYER][0].data).copy()
        weights = [W, *(rank_projection(W, k) for k in ranks),
                   *(update_projection(W, start, k) for k in ranks)]
        accuracy = 100 * accuracies_with(net, LAYER, weights, batches)
    lost = accuracy[0] - accuracy[1:]
    return {"title": MEMBERS[name].title, "seed": run.seed, "ranks": ranks, "accuracy": accuracy[0],
            "W": _of(unit_rows(W), ranks, lost[:len(ranks)]),
            "update": _of(unit_rows(W - start), ranks, lost[len(ranks):])}


def _of(rows, ranks, lost):
    left = residuals(rows)
    return {"kept": [100 * (1 - (left[k] / left[0]) ** 2) ** 0.5 for k in ranks], "lost": lost,
            "elbow": elbow(left[1:]) + 1, "spectral_elbow": elbow(singular_values(rows)[1:]) + 1}


def compare(numbers):
    """Means over the runs of each net; standard deviations where there are several."""
    rows = []
    for title in dict.fromkeys(m["title"] for m in numbers["members"]):
        members = [m for m in numbers["members"] if m["title"] == title]
        at, paper = members[0]["ranks"].index(RANK), PAPER.get(title, (None, None))
        rows.append((f"{title}: accuracy, %", None, np.mean([m["accuracy"] for m in members])))
        for part, label, (kept, lost) in (("W", "", paper), ("update", ", update", (None, None))):
            found = {key: [m[part][key][at] for m in members] for key in ("kept", "lost")}
            rows += [(f"{title}{label}: 100 |W_10| / |W|", kept, np.mean(found["kept"])),
                     (f"{title}{label}: a - a_proj, points", lost, np.mean(found["lost"])),
                     *_spread(f"{title}{label}", found),
                     (f"{title}{label}: elbow, Frobenius", ELBOW.get(title) if not label else None,
                      np.mean([m[part]["elbow"] for m in members])),
                     (f"{title}{label}: elbow, spectral", ELBOW.get(title) if not label else None,
                      np.mean([m[part]["spectral_elbow"] for m in members]))]
    return rows


def _spread(label, found):
    if len(found["kept"]) < 2:
        return []
    return [(f"{label}: standard deviation of {what}", None, np.std(found[key], ddof=1))
            for key, what in (("kept", "the norm kept"), ("lost", "points lost"))]


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
    for title, (kept, lost) in PAPER.items():
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
