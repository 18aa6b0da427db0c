"""Repeated and removable units, angles to cluster centres, of first fully connected layers.

Report: Section 2 names what others found: units whose outputs go together and units that training
leaves alone and nobody misses (Casper et al.), filters nearer to one of four cluster centres than
untrained ones (Brutzkus and Globerson); Section 3.2 sees the like in Conv-2. Make:
python figures/make.py redundancy.text_units --scale full --jobs 2 (the runs of Figs. 2a and 2b).
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.cluster_angles import angles_beside_untrained
from minicaffe.analysis.redundancy import removable_units, repeated_units, unit_rows
from minicaffe.analysis.unit_outputs import unit_outputs
from minicaffe.analysis.unit_removal import RemovalCurve

from .common import MEMBERS, done, moments, notes_for, runs_of, trained_net

NAMES = "lenet_300_100", "conv2"
LAYER, CLUSTERS, SAMPLES = "ip1", 4, 5000
CORRELATIONS = 0.9, 0.95
STILL, HARMLESS = 0.5, 0.001               # of the median change; of the accuracy
notes, runs = notes_for(*NAMES), runs_of(*NAMES)


def measure(scale, load):
    found = [(name, done(name, scale, load)) for name in NAMES]
    return {"layers": [_layer(name, *members[0], scale) for name, members in found if members]}


def _layer(name, run, arrays, scale):
    start = moments(arrays, LAYER)[0]
    with trained_net(run, scale) as (net, batches):
        W = unit_rows(net.params[LAYER][0].data)
        outputs = unit_outputs(net, LAYER, batches)[:SAMPLES]
        losses = RemovalCurve(net, LAYER, batches).losses()
    angles = angles_beside_untrained(W, start, CLUSTERS, np.random.default_rng(1))
    change = np.linalg.norm(W - start, axis=1)
    return {"title": f"{MEMBERS[name].title}, {LAYER}", "units": len(W), "change": change,
            "norm": np.linalg.norm(W, axis=1), "loss": 100 * losses,
            "never_active": int((outputs == 0).all(axis=0).sum()),
            "repeated": [sum(map(len, repeated_units(outputs, r))) for r in CORRELATIONS],
            "removable": len(removable_units(W, start, losses, STILL, HARMLESS)),
            "harmless": int((losses < HARMLESS).sum()),
            "trained": angles.trained, "untrained": angles.untrained}


def compare(numbers):
    rows = []
    for layer in numbers["layers"]:
        title, m = layer["title"], layer["units"]
        rows += [(f"{title}: repeated units (correlation > {r:g}), of {m}", None, count)
                 for r, count in zip(CORRELATIONS, layer["repeated"])]
        rows += [(f"{title}: never active, of {m}", None, layer["never_active"]),
                 (f"{title}: units that cost < 0.1 points alone, of {m}", None, layer["harmless"]),
                 (f"{title}: and have changed little: removable, of {m}", None, layer["removable"]),
                 (f"{title}: correlation of a unit's change and its norm", None,
                  np.corrcoef(layer["change"], layer["norm"])[0, 1]),
                 *[(f"{title}: mean angle to the nearest centre, {when}", None,
                    np.mean(layer[when])) for when in ("trained", "untrained")]]
    return rows


def draw(numbers):
    layers = numbers["layers"]
    figure = style.new_figure(9, 3.4 * len(layers) + 0.3)
    for (left, right), layer in zip(figure.subplots(len(layers), 2, squeeze=False), layers):
        style.clean(left, "points lost without it", layer["title"])
        left.plot(layer["change"], layer["loss"], ".", markersize=4, color=style.COLORS[0])
        left.set_xlabel("||w - w$_0$|| of a unit")
        style.clean(right, "units", f"nearest of {CLUSTERS} cluster centres")
        both = [layer["untrained"], layer["trained"]]
        bins = np.linspace(np.min(both), np.max(both), 41)
        for values, label, color in zip(both, ("untrained", "trained"),
                                        (style.GREY, style.COLORS[0])):
            right.hist(values, bins, alpha=0.6, color=color, label=label)
        right.set_xlabel("angle, degrees")
        right.legend(fontsize=8, frameon=False)
    return figure
