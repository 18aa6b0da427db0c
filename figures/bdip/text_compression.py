"""Section 4.2's compressions: how many times fewer inner product parameters, biases counted.

Paper: Nesky and Stout: 81 and 47 fold for the smallest LeNet and cuda-convnet, 29.43 for (49,1)-BD2
with 980 hidden nodes. Make: python figures/make.py bdip.text_compression (no training).
"""

from minicaffe.analysis import plot_style as style
from minicaffe.structured.block_diagonal import Layout

# net: inputs and outputs of its inner product layers, blocks of each, the paper's number
NETS = {"LeNet-5 (100,10)-BD4": ((800, 500, 10), (100, 10), 81),
        "cuda-convnet (64,2)-BD5": ((1024, 64, 10), (64, 2), 47),
        "(49,1)-BD2, 980 hidden nodes": ((784, 980, 10), (49, 1), 29.43)}


def runs(scale):
    return []


def notes(scale):
    return []


def parameters(sizes, blocks):
    """Weights and biases of inner product layers of those sizes."""
    return sum(Layout.equal(b, outputs, inputs).weights + outputs
               for b, inputs, outputs in zip(blocks, sizes, sizes[1:]))


def measure(scale, load):
    return {"nets": [{"net": name, "paper": paper, "dense": parameters(sizes, [1] * len(blocks)),
                      "blocks": parameters(sizes, blocks)}
                     for name, (sizes, blocks, paper) in NETS.items()]}


def compare(numbers):
    return [(f"{net['net']}: compression", net["paper"], net["dense"] / net["blocks"])
            for net in numbers["nets"]]


def draw(numbers):
    figure = style.new_figure(7, 2.6)
    axes = figure.subplots()
    style.clean(axes, title="parameters of the inner product layers, biases counted")
    for y, net in enumerate(reversed(numbers["nets"])):
        axes.barh([y + 0.2, y - 0.2], [net["dense"], net["blocks"]], height=0.36,
                  color=[style.GREY, style.COLORS[0]])
        axes.annotate(f"{net['blocks']:,}: {net['dense'] / net['blocks']:.2f} times fewer than "
                      f"{net['dense']:,}", (net["blocks"], y - 0.2), fontsize=8, va="center",
                      xytext=(4, 0), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlim(100, 4e6)                        # room for the words
    axes.set_yticks(range(len(numbers["nets"])), [net["net"] for net in reversed(numbers["nets"])])
    return figure
