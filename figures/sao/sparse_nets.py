"""Figures of one kind: nets that are dense, pruned, or sparse from the start, by sparsity."""

from typing import NamedTuple

from minicaffe.analysis import plot_style as style

from .training_runs import SPARSE_FILLERS, accuracies, in_blocks, pruned_at_once, training

CHANCE = {"cifar10": 15, "cifar100": 3, "cinic10": 15}        # percent; below it nothing was learnt
SMOKE_BATCH = 8
MOST_LABELLED = 3                       # sparsities; beside more bars there's no room for numbers
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}      # legible on the dense line
COLORS = dict(zip(("LMP-S", "LMP-T", "RG-S", "RG-T", "SAO"), style.COLORS))


class Panel(NamedTuple):
    """A net and the sparsities it is shown at.

    net            net(init, batch_size=, **options) is its NetParameter
    inits          names of Initialisations: dense, sparse
    sparsities     shares of zeros of all layers but those that the sparse net leaves dense
    scheme, data   of nets.SCHEMES and SOURCES
    changes        of the Scheme's fields
    unit           what is pruned: KERNEL or WEIGHT
    options        of both inits
    """

    title: str
    net: object
    inits: tuple
    sparsities: tuple
    scheme: str
    data: str = "cifar10"
    changes: dict = {}
    unit: str = "KERNEL"
    options: dict = {}

    def build(self, init, batch, **options):
        return in_blocks(self.net(init, data=self.data, batch_size=batch, **self.options,
                                  **options))

    def run(self, method, sparsity, length):
        """The Run by a method: "Dense", "SAO", or a pruning one, "LMP-S" or "RG-T"."""
        batch = {} if length.epochs else {"batch": SMOKE_BATCH}
        dense, sparse = (self.build(init, batch.get("batch", 128), **options) for init, options in
                         zip(self.inits, ({}, {"sparsity": sparsity})))
        more = {**batch, "data": self.data, **self.changes}
        name = f"{self.title} on {self.data}, {method}"
        if method == "Dense":
            return training(name, dense, self.scheme, length, keep_weights=True, **more)
        name += f" {sparsity:g}"
        if method == "SAO":
            return training(name, sparse, self.scheme, length, **more)
        how, when = method.split("-")
        more["pruning"] = pruned_at_once(how, _left_dense(sparse), sparsity=sparsity,
                                         unit=self.unit)
        if when == "T":
            more["begin"] = self.run("Dense", sparsity, length)
        return training(name, dense, self.scheme, length, **more)


def _left_dense(sparse):
    """Names of the layers that a sparse NetParameter leaves dense, of those that can be pruned."""
    fillers = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param"}
    return [layer.name for layer in sparse.layer if layer.type in fillers
            and not getattr(layer, fillers[layer.type]).weight_filler.type.startswith(
                SPARSE_FILLERS)]


class Comparison:
    """What the module of such a figure holds: runs, notes, measure, compare, draw.

    panels     {scale: Panels}
    methods    their names; the first is "Dense"
    lengths    {scale: Length}
    paper      {(title, method, sparsity): accuracy (%), or "trains", or "untrainable"}; of Dense
               the sparsity is 0
    title      of the picture
    """

    def __init__(self, title, panels, methods, lengths, paper=None):
        self.title, self.panels, self.methods = title, panels, methods
        self.lengths, self.paper = lengths, paper or {}

    def cells(self, scale):
        """(Panel, method, sparsity, Run)"""
        for panel in self.panels[scale]:
            for method in self.methods:
                for sparsity in panel.sparsities if method != "Dense" else (0,):
                    run = panel.run(method, sparsity or panel.sparsities[0], self.lengths[scale])
                    yield panel, method, sparsity, run

    def runs(self, scale):
        return [run for *_, run in self.cells(scale)]

    def notes(self, scale):
        if scale == "full":
            return []
        words = self.lengths[scale].words(self.lengths["full"].epochs)
        nets = ", ".join(panel.title for panel in self.panels[scale])
        return [f"scale {scale}: {words}; {nets}"]

    def measure(self, scale, load):
        """Per run that is done: accuracy (%) by test, and the thesis's word or number."""
        entries = []
        for panel, method, sparsity, run in self.cells(scale):
            arrays = load(run)
            if arrays is not None:
                entries.append({"panel": panel.title, "data": panel.data, "method": method,
                                "sparsity": sparsity, "accuracy": accuracies(arrays),
                                "paper": self.paper.get((panel.title, method, sparsity))})
        return {"entries": entries}

    def compare(self, numbers):
        rows = []
        for e in numbers["entries"]:
            label = f"{e['panel']}, {_name(e)}"
            in_words = isinstance(e["paper"], str)
            rows.append((f"{label}, %", None if in_words else e["paper"], e["accuracy"][-1]))
            if in_words:
                rows.append((f"{label}: trains", e["paper"], _trains(e)))
        return rows

    def draw(self, numbers):
        titles = list(dict.fromkeys(e["panel"] for e in numbers["entries"]))
        figure = style.new_figure(9, 0.6 + 2.8 * -(-len(titles) // 2))
        figure.suptitle(self.title, fontsize=11)
        panels = figure.subplots(-(-len(titles) // 2), min(2, len(titles)), squeeze=False).ravel()
        for axes, title in zip(panels, titles):
            style.clean(axes, "test accuracy, %", title)
            self._bars(axes, [e for e in numbers["entries"] if e["panel"] == title])
        for axes in panels[len(titles):]:
            axes.set_visible(False)
        return figure

    def _bars(self, axes, entries):
        sparsities = sorted({e["sparsity"] for e in entries if e["sparsity"]})
        methods = [m for m in self.methods if m != "Dense"]
        width = 0.8 / len(methods)
        for e in entries:
            last = e["accuracy"][-1]
            if e["method"] == "Dense":
                axes.axhline(last, color="black", linestyle="--", linewidth=0.9, label="Dense")
                continue
            i = methods.index(e["method"])
            x = sparsities.index(e["sparsity"]) + width * (i - (len(methods) - 1) / 2)
            label = e["method"] if e["sparsity"] == sparsities[0] else None
            axes.bar(x, last, width, color=COLORS[e["method"]], label=label)
            if len(sparsities) <= MOST_LABELLED:
                axes.annotate(f"{last:.1f}", (x, last), (0, 2), textcoords="offset points",
                              ha="center", va="bottom", fontsize=7, bbox=LABEL)
        axes.set_xticks(range(len(sparsities)), [f"{s:g}" for s in sparsities])
        axes.set_xlabel("sparsity")
        axes.margins(y=0.3)
        axes.legend(fontsize=7, ncols=3, frameon=False, loc="upper right")


def _name(entry):
    return entry["method"] + (f" at {entry['sparsity']:g}" if entry["sparsity"] else "")


def _trains(entry):
    return "trains" if max(entry["accuracy"]) > CHANCE[entry["data"]] else "untrainable"
