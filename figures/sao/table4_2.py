"""Table 4.2: accuracy of MLP-N on MNIST by SAO 1, 2 and 3, degrees 2 and 8, after 10 epochs.

Thesis: Section 4.2.2; rates: nets.mlp_n_rate. N = 1000 learned nothing in 200 iterations with its
gain of 1.1, see text_mlp1000. Make: python figures/make.py sao.table4_2 --scale full --jobs 2: on a
CPU N = 50 and 200, 12 runs of 3 and 10 minutes; with --gpu 0 also N = 400, 600, 800 and 1000.
"""

from minicaffe.analysis import plot_style as style

from . import mlps
from .training_runs import accuracies

VARIANTS, DEGREES = (1, 2, 3), (2, 8)
# N: accuracy by SAO 1 with d = 2 and 8, SAO 2 with both, SAO 3 with both
PAPER = {50: (92.40, 96.24, 92.48, 96.03, 94.15, 96.39),
         200: (95.36, 97.11, 95.06, 96.35, 95.40, 96.84),
         400: (94.71, 96.65, 95.79, 96.78, 95.60, 97.19),
         600: (94.64, 96.41, 94.56, 96.65, 94.88, 96.86),
         800: (91.53, 96.38, 92.73, 96.17, 91.68, 96.53),
         1000: (92.07, 94.31, 92.11, 95.54, 91.09, 96.86)}


def cells(scale):
    """(N, variant, degree, the thesis's accuracy, Run) of every entry."""
    for layers in mlps.depths(scale):
        columns = [(variant, degree) for variant in VARIANTS for degree in DEGREES]
        for (variant, degree), paper in zip(columns, PAPER.get(layers, (None,) * 6)):
            yield layers, variant, degree, paper, mlps.sparse_mlp_n(
                layers, scale, degree, what=f"SAO {variant}", variant=variant)


def runs(scale):
    return [run for *_, run in cells(scale)]


def notes(scale):
    return mlps.notes(scale, of=mlps.MLP_N["full"].epochs)


def measure(scale, load):
    """Percent on the test set after training, of every run that is done."""
    entries = []
    for layers, variant, degree, paper, run in cells(scale):
        arrays = load(run)
        if arrays is not None:
            entries.append({"layers": layers, "variant": variant, "degree": degree, "paper": paper,
                            "accuracy": accuracies(arrays)[-1]})
    return {"entries": entries}


def compare(numbers):
    return [(f"N = {e['layers']}, SAO {e['variant']}, d = {e['degree']}, %", e["paper"],
             e["accuracy"]) for e in numbers["entries"]]


def draw(numbers):
    figure = style.new_figure(8, 1.2 + 0.24 * len(numbers["entries"]))
    axes = figure.subplots()
    style.clean(axes, title="MLP-N on MNIST, sparse orthogonal from the start")
    entries = numbers["entries"][::-1]
    for y, e in enumerate(entries):
        axes.plot(e["accuracy"], y, "o", color=style.COLORS[0])
        if e["paper"]:
            axes.plot(e["paper"], y, "D", color=style.COLORS[1], fillstyle="none")
    axes.set_yticks(range(len(entries)), [f"N = {e['layers']}, SAO {e['variant']}, "
                                          f"d = {e['degree']}" for e in entries])
    axes.set_ylim(-0.5, len(entries) - 0.5)
    axes.set_xlabel("test accuracy, %: dots here, diamonds the thesis")
    return figure
