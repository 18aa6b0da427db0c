"""Fig. 3: time of each inner product layer of LeNet and cuda-convnet, blocks and CSR, by nonzeros.

Paper: Nesky and Stout, Section 4.1, on a P100: LeNet with batches of 64, cuda-convnet of 100. Make:
python figures/make.py bdip.fig3 --scale full (minutes; add --gpu 0 for a GPU).
"""

import numpy as np

from minicaffe.analysis import plot_style as style
from minicaffe.analysis.sparse_product import CsrProduct

from ..frame.timing import TimedLayer, in_turns
from . import fig1

notes, runs = fig1.notes, fig1.runs
# net: batch, layer: (inputs, outputs, numbers of blocks)
NETS = {"LeNet-5": (64, {"ip1": (800, 500, (2, 4, 5, 10, 20, 25, 50, 100)),
                         "ip2": (500, 10, (2, 5, 10))}),
        "cuda-convnet": (100, {"ip1": (1024, 64, (2, 4, 8, 16, 32, 64)), "ip2": (64, 10, (2,))})}
ROUNDS = {"smoke": 1, "quick": 9, "full": 31}
PAPER = {("LeNet-5", "ip1", 50, "all"): "> 1.4", ("LeNet-5", "ip1", 100, "forward"): 1.6,
         ("cuda-convnet", "ip1", 32, "all"): "> 1.26", ("cuda-convnet", "ip1", 64, "forward"): 1.65,
         ("LeNet-5", "ip1", 100, "csr"): "as low as 1/8"}


def measure(scale, load):
    """Per layer: seconds dense, and by number of blocks; csr: as many nonzeros, anywhere."""
    layers = []
    for net, (batch, sizes) in NETS.items():
        for layer, (inputs, outputs, blocks) in sizes.items():
            blocks = blocks if scale != "smoke" else blocks[:1]
            layers.append({"net": net, "layer": layer, "batch": batch, "size": inputs * outputs,
                           "points": [_point(batch, inputs, outputs, b, ROUNDS[scale])
                                      for b in blocks]})
    return {"layers": layers}


def _point(batch, inputs, outputs, blocks, rounds):
    """Speed-ups over dense at one number of blocks, all timed in turns."""
    dense, block = (TimedLayer(batch, inputs, outputs, b) for b in (1, blocks))
    seconds = in_turns({"dense": dense.forward, "dense all": dense.all_three,
                        "forward": block.forward, "all": block.all_three,
                        "csr": csr_product(batch, inputs, outputs, blocks)}, rounds)
    return {"blocks": blocks, "nonzeros": inputs * outputs // blocks, "seconds": seconds,
            "forward": seconds["dense"] / seconds["forward"],
            "all": seconds["dense all"] / seconds["all"], "csr": seconds["dense"] / seconds["csr"]}


def csr_product(batch, inputs, outputs, blocks):
    """The forward product of a pruned layer in CSR, as many nonzeros as b blocks have, anywhere."""
    rng, size = np.random.default_rng(0), inputs * outputs
    timed = TimedLayer(batch, inputs, outputs)
    w = np.zeros(size, np.float32)
    w[rng.choice(size, size // blocks, replace=False)] = rng.uniform(-1, 1, size // blocks)
    timed.layer.blobs[0].data = w.reshape(outputs, inputs)
    product, x = CsrProduct(timed.layer), timed.bottom[0].data
    return lambda: product(x)


def compare(numbers):
    rows = []
    for layer in numbers["layers"]:
        for point in layer["points"]:
            for what, words in (("forward", "forward"), ("all", "all three products"),
                                ("csr", "CSR forward")):
                paper = PAPER.get((layer["net"], layer["layer"], point["blocks"], what))
                place = f"{layer['net']} {layer['layer']}, {point['nonzeros']} nonzeros"
                rows.append((f"{place}, {words}", paper, point[what]))
    return rows


def draw(numbers):
    figure = style.new_figure(9, 7)
    for axes, layer in zip(figure.subplots(2, 2).flat, numbers["layers"]):
        style.clean(axes, "speed-up over dense",
                    f"{layer['net']} {layer['layer']}, batch {layer['batch']}")
        nonzeros = [point["nonzeros"] for point in layer["points"]]
        for color, (what, words) in zip(style.COLORS, {
                "forward": "blocks, forward", "all": "blocks, all three products",
                "csr": "CSR, forward"}.items()):
            axes.loglog(nonzeros, [point[what] for point in layer["points"]], marker="o",
                        markersize=4, color=color, label=words)
        axes.axhline(1, color=style.GREY, linestyle=":", linewidth=1)
        axes.axvline(layer["size"], color=style.GREY, linestyle=":", linewidth=1)
        for axis, (low, high) in (axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()):
            style.log_labels(axis, np.log10(high / low))
        axes.set_xlabel("nonzeros (dotted: dense)")
    axes.legend(fontsize=8, frameon=False)
    return figure
