"""Fig. 4.10: accuracy and mean singular value of MLP-N on MNIST by the number of layers.

Thesis: Section 4.2.2, 100 epochs, degree 4 (98.6 % sparse), gain 1.1, the output layer dense;
pruned right after initialisation (S) or after training (T), then trained as long again. Here 10
epochs, all methods at the rate of mlps.mlp_n, RG-U and RG-N too (the thesis: 1e-5). A net is
called untrainable if it stays below 15 %. N = 1000 learned nothing in 200 iterations with that
gain, see text_mlp1000. Make: python figures/make.py sao.fig4_10 --scale full --jobs 2: on a CPU
N = 50 and 200, 20 runs of 3 to 20 minutes; with --gpu 0 also N = 400, 600, 800 and 1000.
"""

from minicaffe.analysis import plot_style as style

from . import mlps
from .training_runs import accuracies

CHANCE = 15                               # percent; the largest class has 11.35
TRAINS = "Dense", "SAO", "RG-U", "RG-N"   # in the thesis, the last two at a rate of 1e-5
MARKERS = "os^v<>DdPX"
COLORS = dict(zip(mlps.METHODS, (style.GREY, *style.COLORS, "#882255")))


def cells(scale):
    """(N, method, Run)"""
    methods = mlps.METHODS if scale != "smoke" else mlps.METHODS[::3]
    return [(layers, method, mlps.mlp_n(layers, method, scale))
            for layers in mlps.depths(scale) for method in methods]


def runs(scale):
    return [run for *_, run in cells(scale)]


def notes(scale):
    return [*mlps.notes(scale, of=mlps.MLP_N_THESIS), "RG-U and RG-N at the rates of the others"]


def measure(scale, load):
    """Per run that is done: the best accuracy (%), the last, and singular values at both ends."""
    entries = []
    for layers, method, run in cells(scale):
        arrays = load(run)
        if arrays is not None:
            accuracy = accuracies(arrays)
            entries.append({"layers": layers, "method": method, "accuracy": accuracy[-1],
                            "best": accuracy.max(), "sv_mean": arrays["isometry.mean"],
                            "sv_variance": arrays["isometry.variance"]})
    return {"entries": entries}


def trains(entry):
    return entry["best"] > CHANCE


def compare(numbers):
    """The thesis's numbers are in a picture; what it says of each method is compared."""
    rows = []
    for e in numbers["entries"]:
        label = f"N = {e['layers']}, {e['method']}"
        rows += [(f"{label}: trains", _yes(e["method"] in TRAINS), _yes(trains(e))),
                 (f"{label}: accuracy, %", None, e["accuracy"]),
                 (f"{label}: mean of singular values at the end", None, e["sv_mean"][-1]),
                 (f"{label}: their variance", None, e["sv_variance"][-1])]
    return rows


def _yes(condition):
    return "yes" if condition else "untrainable"


def draw(numbers):
    figure = style.new_figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    style.clean(left, "test accuracy, %", "MLP-N on MNIST")
    style.clean(right, "mean of singular values after training", "MLP-N on MNIST")
    layers = sorted({e["layers"] for e in numbers["entries"]})
    methods = [m for m in mlps.METHODS if any(e["method"] == m for e in numbers["entries"])]
    for i, method in enumerate(methods):
        entries = [e for e in numbers["entries"] if e["method"] == method]
        x = [layers.index(e["layers"]) + 0.04 * (i - len(methods) / 2) for e in entries]
        look = {"color": COLORS[method], "marker": MARKERS[mlps.METHODS.index(method)],
                "markersize": 6, "linewidth": 0.8, "label": method}
        left.plot(x, [e["accuracy"] for e in entries], **look)
        right.plot(x, [e["sv_mean"][-1] for e in entries], **look)
    left.set_ylim(0, 100)
    left.axhline(CHANCE, color=style.GREY, linestyle=":", linewidth=0.9)
    right.axhline(1, color="#cc0000", linestyle="--", linewidth=0.9)
    for axes in left, right:
        axes.set_xticks(range(len(layers)), layers)
        axes.set_xlim(-0.5, len(layers) - 0.5)
        axes.set_xlabel("layers N")
    right.legend(fontsize=8, ncols=2, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure
