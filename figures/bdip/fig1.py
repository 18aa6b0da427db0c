"""Fig. 1: block diagonal products beside the dense one, n x n weights, batch of 100.

Paper: Nesky and Stout, Section 4.1, on a P100; above: the forward product, below: all three of
training. Make: python figures/make.py bdip.fig1 --scale full (minutes; add --gpu 0 for a GPU).
"""

from minicaffe.analysis import plot_style as style
from minicaffe.backend import mode
from minicaffe.primitives import parallel

from ..frame.results import processor
from ..frame.timing import TimedLayer, in_turns

SIZES = {"smoke": (32, 64), "quick": (512, 1024, 2048), "full": (512, 1024, 2048, 4096, 8192)}
ROUNDS = {"smoke": 1, "quick": 5, "full": 9}
BATCH = 100


def runs(scale):
    return []


def notes(scale):
    threads = f", {parallel.num_threads} thread{'s' * (parallel.num_threads > 1)}"
    device = f"a GPU ({processor()})" if mode() == "gpu" else f"the CPU ({processor()}{threads})"
    return [f"times on {device}; the paper's are on an NVIDIA P100"]


def measure(scale, load):
    return {"batch": BATCH, "sizes": [_size(n, ROUNDS[scale]) for n in SIZES[scale]]}


def _size(n, rounds):
    """Seconds of one product and of all three, for one block and more, up to n / 4 of them."""
    row = {"n": n, "blocks": [], "forward": [], "all": []}
    dense, blocks = TimedLayer(BATCH, n, n), 2
    while blocks <= n // 4:
        layer = TimedLayer(BATCH, n, n, blocks)
        seconds = in_turns({"dense forward": dense.forward, "forward": layer.forward,
                            "dense all": dense.all_three, "all": layer.all_three}, rounds)
        row["blocks"].append(blocks)
        for what in "forward", "all":
            row[what].append([seconds[f"dense {what}"], seconds[what]])
        blocks *= 2
    return row


def speedups(row, what):
    """Dense time over block time, by number of blocks."""
    return [dense / block for dense, block in row[what]]


def compare(numbers):
    rows = []
    for row in numbers["sizes"]:
        for what, words in ("forward", "forward"), ("all", "all three"):
            values = speedups(row, what)
            best = max(range(len(values)), key=values.__getitem__)
            rows.append((f"n = {row['n']}, {words}: best speed-up, at {row['blocks'][best]} blocks",
                         None, values[best]))
            rows.append((f"n = {row['n']}, {words}: smallest speed-up, up to n/4 blocks", None,
                         min(values)))
            if row["n"] == 4096:
                rows.append((f"n = 4096, {words}: speed-up at 256 blocks", None,
                             values[row["blocks"].index(256)]))
    best = max(max(speedups(row, "forward")) for row in numbers["sizes"])
    return [*rows, ("largest forward speed-up (paper: n up to 8192)", "a little over 10", best)]


def draw(numbers):
    figure = style.new_figure(7, 7.5)
    for axes, what, words in zip(figure.subplots(2, 1, sharex=True), ("forward", "all"),
                                 ("forward product", "all three products of training")):
        style.clean(axes, "speed-up over dense", f"{words}, n x n, batch {numbers['batch']}")
        for color, row in zip(style.COLORS, numbers["sizes"]):
            axes.loglog(row["blocks"], speedups(row, what), marker="o", markersize=3, color=color,
                        base=2, label=f"n = {row['n']}")
        axes.axhline(1, color=style.GREY, linestyle=":", linewidth=1)
        axes.yaxis.set_major_formatter(style.plain)
        axes.xaxis.set_major_formatter(style.plain)
    axes.set_xlabel("number of blocks")
    axes.legend(fontsize=8, frameon=False)
    return figure
