"""Section 4.2.2: MLP-1000 trains, 1002 layers without skip connections or normalisation.

Thesis: Table 4.2, SAO 3 of degree 8, gain 1.1, 96.86 % after 10 epochs. With a gain of 1.1 and zero
biases the gradient of an untrained net grows by 0.7 % a layer towards the input, 1400-fold in all,
and rates from 1e-6 to 1e-2 taught it nothing in 40 to 200 iterations. With biases that begin at
random, uniform in +- 1 / sqrt(inputs), as PyTorch draws them (the thesis doesn't say how its are),
it grows 6-fold, with a gain of 1.05 and zero biases 8-fold. Make: python figures/make.py
sao.text_mlp1000 --scale quick --jobs 2: an epoch each, 14 minutes (full: 10 epochs).
"""

from minicaffe.analysis import plot_style as style

from . import mlps
from .training_runs import SMOKE, Length, accuracies

LAYERS = {"smoke": 20, "quick": 1000, "full": 1000}
LENGTH = {"smoke": SMOKE, "quick": Length(1), "full": Length(10)}
RATE, DEGREE, TESTS, PAPER = 1e-3, 8, 20, 96.86          # tests in an epoch
NETS = {"gain 1.05": {"gain": 1.05}, "gain 1.1, random biases": {"gain": 1.1, "biases": "random"}}


def chosen(scale):
    """{net: Run}"""
    tests = TESTS * (LENGTH[scale].epochs or 1)
    return {what: mlps.sparse_mlp_n(LAYERS[scale], scale, DEGREE, records=1, rate=RATE, tests=tests,
                                    length=LENGTH[scale], what=f"SAO 3, {what},", **options)
            for what, options in NETS.items()}


def runs(scale):
    return list(chosen(scale).values())


def notes(scale):
    length = LENGTH[scale].words(LENGTH["full"].epochs)
    return [] if scale == "full" else [f"scale {scale}: {LAYERS[scale]} layers, {length}"]


def measure(scale, load):
    """Per net that is done: accuracy (%) by iteration, singular values at the start and the end."""
    members = []
    for what, run in chosen(scale).items():
        arrays = load(run)
        if arrays is not None:
            members.append({"net": what, "accuracy": accuracies(arrays),
                            "iterations": arrays["test_iterations"],
                            "sv_mean": arrays["isometry.mean"]})
    return {"members": members}


def compare(numbers):
    rows = []
    for m in numbers["members"]:
        above = [i for i, value in zip(m["iterations"], m["accuracy"]) if value > 90]
        rows += [(f"{m['net']}: accuracy at the end, %", PAPER, m["accuracy"][-1]),
                 (f"{m['net']}: above 90 % at iteration", None, above[0] if above else "never"),
                 (f"{m['net']}: mean of singular values at the end", None, m["sv_mean"][-1])]
    return rows


def draw(numbers):
    figure = style.new_figure(7, 4)
    axes = figure.subplots()
    style.clean(axes, "test accuracy, %", f"MLP-1000 on MNIST, SAO 3 of degree {DEGREE}")
    for m, color in zip(numbers["members"], style.COLORS):
        axes.plot(m["iterations"], m["accuracy"], "o-", markersize=3, color=color,
                  label=f"{m['net']}: {m['accuracy'][-1]:.1f} %")
    axes.axhline(PAPER, color="black", linestyle=":", label="thesis, 10 epochs")
    style.iteration_axis(axes)
    axes.legend(fontsize=9, frameon=False)
    return figure
