"""Section 4.2.3's other prunings on CIFAR-10: few nonzeros, two nodes, and overfitting by IP-BDIP.

Paper: Nesky and Stout: 37 and 40 nonzeros in ip1 and ip2: 73.01 %; ip1 of two outputs: 59.67 %;
(64,2)-BD5: 72.49 % on the test and 75.63 % on the training set, by IP-BDIP 74.81 and 76.85. Make:
python figures/make.py bdip.text_cifar_pruning --scale full --jobs 2 (7 runs of about 30 minutes on
one core each).
"""

from minicaffe.analysis import plot_style as style

from . import pruned
from .common import cifar_notes, convnet

PAPER = {"dense": (76.29, 83.32), "(64,2)-BD5": (72.49, 75.63),
         "(64,2)-BD5 by IP-BDIP": (74.81, 76.85), "37 and 40 nonzeros": (73.01, None),
         "37 and 40, 4,500 iterations": (73.01, None), "37 and 40, CUBIC": (73.01, None),
         "ip1 of 2 outputs": (59.67, None)}
SLOWLY = {"given": (500, 4500), "what": ", 4,500 iterations"}      # the paper doesn't say how many
CUBIC = {"more": "schedule: CUBIC", "what": ", CUBIC"}
notes = cifar_notes


def chosen(scale):
    """The runs by name, those of PAPER."""
    made = (convnet((1, 1), scale), convnet((64, 2), scale), pruned.convnet_ip((64, 2), scale, 1),
            *(pruned.convnet_to((37, 40), scale, 1, **options) for options in ({}, SLOWLY, CUBIC)),
            pruned.convnet_nodes(2, scale, 1))
    return dict(zip(PAPER, made))


def runs(scale):
    return list(chosen(scale).values())


def summary(arrays):
    """Percent on the test set and on the whole training set after training."""
    return {"test": 100 * float(arrays["test_accuracy"][-1]),
            "train": 100 * float(arrays["final_train_accuracy"])}


def measure(scale, load):
    found = {name: load(run) for name, run in chosen(scale).items()}
    return {"nets": [{"name": name, **done} for name, done in found.items() if done]}


def compare(numbers):
    return [(f"{net['name']}: {which} accuracy, %", PAPER[net["name"]][i], net[which])
            for net in numbers["nets"] for i, which in enumerate(("test", "train"))]


def draw(numbers):
    figure = style.new_figure(7, 3.5)
    axes = figure.subplots()
    style.clean(axes, title="cuda-convnet on CIFAR-10")
    nets = numbers["nets"][::-1]
    for y, net in enumerate(nets):
        axes.plot([net["test"], net["train"]], [y, y], color=style.GREY, linewidth=1)
        for value, color in (net["test"], style.COLORS[0]), (net["train"], style.COLORS[2]):
            axes.plot(value, y, "o", color=color)
        for value, color in zip(PAPER[net["name"]], (style.COLORS[0], style.COLORS[2])):
            if value is not None:
                axes.plot(value, y, "D", color=color, fillstyle="none", markersize=8)
    axes.set_yticks(range(len(nets)), [net["name"] for net in nets])
    axes.set_xlabel("accuracy, %: blue test, green training set; diamonds: the paper")
    return figure
