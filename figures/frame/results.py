"""What a figure leaves behind: NAME.json, NAME.png and the table "paper | here | difference"."""

import json
import platform
from pathlib import Path

import numpy as np

import minicaffe
from minicaffe import backend
from minicaffe.analysis import bench, plot_style
from minicaffe.errors import Error
from minicaffe.files import atomic_write
from minicaffe.primitives.parallel import num_threads

from .runs import ARITHMETIC

SCALES = ("smoke", "quick", "full")
FOLDER = Path(__file__).parents[1] / "results"


def write(name, module, scale, numbers, runs, notes, folder=FOLDER):
    """Write NAME.json and NAME.png; returns the JSON's contents.

    numbers: what module.measure gave; runs: those they come from, as `described`; notes:
    sentences that belong into picture and JSON. Raises Error where the folder holds this figure at a larger scale.
    """
    path = Path(folder) / f"{name}.json"
    check_scale(path, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = json.loads(json.dumps(numbers, default=_plain))     # what is drawn is what is saved
    compared = module.compare(numbers)
    rows = [{"what": what, "paper": paper, "here": _plain(here),
             "difference": _plain(apart(paper, here))} for what, paper, here in compared]
    result = {"figure": name, "title": title(module), "scale": scale, "notes": notes,
              "machine": machine(), "comparison": rows, "numbers": numbers,
              "runs": runs}
    figure = module.draw(numbers)
    figure.supxlabel("\n".join(notes), fontsize=8, color=plot_style.GREY)
    plot_style.save(figure, path.with_suffix(".png"))
    with atomic_write(path, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    return result


def described(run, module, found):
    """What a figure's JSON says of a run; found: what `summaries.found` has of it."""
    begin = {"begins_from": run.begin.key} if run.begin else {}
    summary = {"summary": found} if hasattr(module, "summary") else {}
    return {"name": run.name, "key": run.key, **begin, "seed": run.seed,
            "iterations": run.iterations, "solver": run.solver.splitlines(), **summary}


def check_scale(path, scale):
    """Raise Error where `path` holds results of a larger scale."""
    if path.is_file():
        with open(path) as file:
            there = json.load(file)["scale"]
        if SCALES.index(there) > SCALES.index(scale):
            raise Error(f"{path}: is of scale {there}, which scale {scale} doesn't replace: give "
                        "--out FOLDER")


def machine():
    """What numbers and times depend on."""
    import scipy

    return {**bench.machine(), "scipy": scipy.__version__, "system": platform.system(),
            "mode": backend.mode(), "processor": processor(), "threads": num_threads,
            "arithmetic": ARITHMETIC, "minicaffe": minicaffe.__version__}


def processor():
    """The kind of the device that computes, as a person would name it."""
    if backend.mode() == "cpu" and Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return backend.device_name()


def title(module):
    """The first line of a figure module's docstring."""
    return module.__doc__.strip().splitlines()[0]


def apart(paper, here):
    """here - paper where both are numbers, else None; 0 where the digits kept are the same."""
    if not all(isinstance(value, (int, float, np.number)) for value in (paper, here)):
        return None
    return 0.0 if _plain(float(here)) == _plain(float(paper)) else float(here) - float(paper)


def table(result):
    """The comparison as text, with its notes."""
    rows = [("", "paper", "here", "difference")]
    rows += [(row["what"], _shown(row["paper"]), _shown(row["here"]),
              _shown(row["difference"], "+")) for row in result["comparison"]]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{result['figure']} ({result['scale']}): {result['title']}", *result["notes"]]
    lines += [f"{row[0]:{widths[0]}}  " + "  ".join(f"{cell:>{width}}" for cell, width in
                                                   zip(row[1:], widths[1:])) for row in rows]
    return "\n".join(lines)


def _shown(value, sign=""):
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, f"{sign}.4g")


def _plain(value):
    """NumPy's numbers and arrays as Python's; what isn't finite as None, which JSON can say."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()] if value.ndim else _plain(value.item())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    return value
