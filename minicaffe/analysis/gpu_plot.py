"""The picture of block diagonal products on the GPU: speed-up over dense, and what would be possible."""

from matplotlib.lines import Line2D

from . import plot_style as style

TITLES = {"forward": "forward product", "training": "all three products of a training step"}


def plot_products(rows, path, device):
    """Write a PNG with a panel each for forward and training: speed-up against number of blocks.

    rows: gpu_bench.Row; a colour a matrix size, solid for block products, dashed for torch.bmm,
    dotted for the roofline; below a line at 1 a layer would be faster dense.
    """
    sizes = sorted({row.n for row in rows})
    figure = style.new_figure(10, 5)
    for axes, (what, title) in zip(figure.subplots(1, 2, sharey=True), TITLES.items()):
        for n, color in zip(sizes, style.COLORS):
            curve = [row for row in rows if (row.n, row.what) == (n, what)]
            blocks = [row.blocks for row in curve]
            axes.plot(blocks, [row.speed_up for row in curve], "o-", color=color, ms=3, lw=1.6)
            axes.plot(blocks, [row.roofline for row in curve], ":", color=color, lw=1)
            peer = [(row.blocks, row.dense / row.bmm) for row in curve if row.bmm]
            if peer:
                axes.plot(*zip(*peer), "--", color=color, lw=1)
        axes.axhline(1, color=style.GREY, lw=0.8)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("number of blocks")
        style.log_axis(axes, [row.speed_up for row in rows])
        style.clean(axes, "speed-up over the dense product" if what == "forward" else None, title)
    _legend(figure, sizes)
    figure.suptitle(f"n x n block diagonal matrix, batch 100, float32, {device}", x=0.01,
                    ha="left", fontsize=11)
    style.save(figure, path)


def _legend(figure, sizes):
    lines = [Line2D([], [], color=color, label=f"n = {n}") for n, color in zip(sizes, style.COLORS)]
    lines += [Line2D([], [], color=style.GREY, ls=ls, label=label) for ls, label in
              (("-", "here"), ("--", "torch.bmm"), (":", "roofline"))]
    figure.legend(handles=lines, loc="outside right center", frameon=False, fontsize=9)
