"""Sections 5.1 and 5.2: making ip2 block diagonal as well leaves the variance of ip1 as it is.

Paper: Nesky and Stout: ratios within 0.05 of 1 (LeNet) and 0.03 (cuda-convnet). Make: python
figures/make.py bdip.text_ip2_blocks --scale full --jobs 2: 24 runs of LeNet and 14 of cuda-convnet,
of 4 to 8 and about 30 minutes on one core each.
"""

import numpy as np

from minicaffe.analysis import plot_style as style

from .common import both_notes, convnet, lenet

# net: its run, numbers of blocks of ip1 and of ip2, how near to 1 the paper's ratios are
NETS = {"LeNet": (lenet, (1, 2, 5, 10, 50, 100), (2, 5, 10), 0.05),
        "cuda-convnet": (convnet, (1, 2, 4, 8, 16, 32, 64), (2,), 0.03)}
notes = both_notes


def pairs(scale):
    """(net, b1, b2, (run with b2 blocks in ip2, run with one))."""
    for net, (run, first, second, _) in NETS.items():
        if scale == "smoke":
            first, second = first[:1], second[:1]
        for b1 in first:
            for b2 in second:
                yield net, b1, b2, (run((b1, b2), scale), run((b1, 1), scale))


def runs(scale):
    return list(dict.fromkeys(run for *_, both in pairs(scale) for run in both))


def summary(arrays):
    """The variance of ip1's weights after training."""
    return {"variance": float(arrays["ip1.variance"][-1])}


def measure(scale, load):
    ratios = []
    for net, b1, b2, both in pairs(scale):
        with_blocks, without = map(load, both)
        if with_blocks and without:
            ratio = with_blocks["variance"] / without["variance"]
            ratios.append({"net": net, "b1": b1, "b2": b2, "ratio": ratio})
    return {"ratios": ratios}


def compare(numbers):
    rows = [(f"{r['net']}, ({r['b1']},{r['b2']}) over ({r['b1']},1)", 1.0, r["ratio"])
            for r in numbers["ratios"]]
    for net, (*_, near) in NETS.items():
        apart = [abs(r["ratio"] - 1) for r in numbers["ratios"] if r["net"] == net]
        if apart:
            rows.append((f"{net}: largest |ratio - 1|", f"< {near}", max(apart)))
    return rows


def draw(numbers):
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, "variance of ip1, ip2 block diagonal / dense",
                "final variance of ip1 hardly depends on ip2's blocks")
    kinds = dict.fromkeys((r["net"], r["b2"]) for r in numbers["ratios"])
    for color, (net, b2) in zip(style.COLORS, kinds):
        points = [(r["b1"], r["ratio"]) for r in numbers["ratios"]
                  if (r["net"], r["b2"]) == (net, b2)]
        axes.semilogx(*np.transpose(points), marker="o", markersize=4, color=color,
                      label=f"{net}, {b2} blocks in ip2")
    axes.axhspan(0.95, 1.05, color=style.GREY, alpha=0.12)
    axes.xaxis.set_major_formatter(style.plain)
    axes.set_xlabel("blocks of ip1; shaded: 1 +- 0.05")
    axes.legend(fontsize=8, frameon=False)
    return figure
