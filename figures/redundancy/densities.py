"""What Figs. 6 and 7 share: eigenvalues of W W^T beside Marchenko and Pastur's law at the start."""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.redundancy import measures
from minicaffe.analysis.spectra import MarchenkoPastur, eigenvalues, singular_values
from minicaffe.analysis.weight_spectra import initial_variance

from .common import MEMBERS, done, moments


def panel(name, layer, scale, load):
    """Of the first run of a net that is done, a layer's W (m, n) and its update, or None.

    initial: n times the variance that the layer's filler draws. Eigenvalues of W W^T at the start,
    after training, and of the update.
    """
    found = done(name, scale, load)
    if not found:
        return None
    run, arrays = found[0]
    param = next(each for each in run.net_param().layer if each.name == layer)
    start, W = (moments(arrays, layer)[i] for i in (0, -1))
    m, n = W.shape
    law = MarchenkoPastur(m / n, n * initial_variance(param, arrays[f"{layer}.history"][0].shape))
    by_name = {"start": start, "trained": W, "update": W - start}
    spectra = {key: eigenvalues(singular_values(rows), m, 1) for key, rows in by_name.items()}
    return {"title": f"{MEMBERS[name].title}, {layer}", "shape": [m, n], "initial": law.variance,
            "edges": [law.a, law.b], "eigenvalues": spectra,
            "measures": {key: measures(rows) for key, rows in by_name.items()}}


def measure(places, scale, load):
    """The panels of (net, layer) whose runs are done."""
    found = [panel(name, layer, scale, load) for name, layer in places]
    return {"panels": [each for each in found if each is not None]}


def beyond(panel, key):
    """How many eigenvalues lie beyond the law's upper edge, by more than a hundredth."""
    return int((np.array(panel["eigenvalues"][key]) > 1.01 * panel["edges"][1]).sum())


def compare(numbers, aspects):
    """aspects: {title: the report's Q}"""
    rows = []
    for p in numbers["panels"]:
        (m, n), title, lowest = p["shape"], p["title"], np.min(p["eigenvalues"]["trained"])
        rows += [(f"{title}: Q", aspects.get(title), n / m),
                 (f"{title}: n var at the start", None, p["initial"]),
                 *[(f"{title}: {key}, beyond the law's edge, of {m}", None, beyond(p, key))
                   for key in ("start", "trained")],
                 (f"{title}: trained, smallest / the law's lower edge", None,
                  lowest / p["edges"][0] if p["edges"][0] > 1e-12 else float(lowest)),
                 *[(f"{title}: {key}, {name.replace('_', ' ')}", None, values[name])
                   for name in ("nuclear", "stable_rank") for key, values in p["measures"].items()]]
    return rows


def draw(numbers):
    """Per layer: the density up to one and a half times the law's edge; all eigenvalues, sorted."""
    panels = numbers["panels"]
    figure = style.new_figure(9, 3.3 * len(panels) + 0.3)
    for (left, right), p in zip(figure.subplots(len(panels), 2, squeeze=False), panels):
        m, n = p["shape"]
        law = MarchenkoPastur(m / n, p["initial"])
        spectra = {key: np.array(values) for key, values in p["eigenvalues"].items()}
        _density(left, spectra, law, f"{p['title']}, Q = {n / m:.3g}")
        style.clean(right, "eigenvalue", "all of them, largest first")
        ranks = np.arange(1, m + 1)
        expected = law.quantile(1 - (ranks - 0.5) / m)
        right.plot(ranks, expected, color=style.COLORS[1], label="the law at the start")
        for key, color in ("trained", style.COLORS[0]), ("update", style.COLORS[2]):
            shown = spectra[key] > 1e-6 * spectra[key][0]
            right.plot(ranks[shown], spectra[key][shown], ".", markersize=3, color=color, label=key)
        right.set_xscale("log")
        right.set_yscale("log")
        right.set_xlabel("rank")
        right.legend(fontsize=8, frameon=False)
    return figure


def _density(axes, spectra, law, title):
    style.clean(axes, "density", title)
    low, high = min(law.a, *spectra["trained"]), 1.5 * law.b
    edges = np.linspace(0.98 * low, high, 60)
    for key, look in ("trained", {"color": style.COLORS[0], "alpha": 0.6}), \
            ("start", {"color": "black", "histtype": "step", "linewidth": 0.8}):
        values = spectra[key]
        weights = np.full(len(values), 1 / (len(values) * (edges[1] - edges[0])))
        out = int((values > high).sum())
        more = f", {out} further right, up to {values[0]:.3g}" if out else ""
        axes.hist(values, edges, weights=weights, label=f"{key}{more}", **look)
    x = np.linspace(law.a, law.b, 400)[1:-1]
    axes.plot(x, law.density(x), color=style.COLORS[1], label="Marchenko-Pastur, at the start")
    axes.set_xlabel("eigenvalue of W W$^T$")
    axes.legend(fontsize=8, frameon=False)
