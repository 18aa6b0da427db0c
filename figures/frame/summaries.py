"""What a figure takes from its training runs: all their arrays, or a few numbers.

A figure whose module has `summary(arrays)`, a dict of numbers, measures those instead of arrays,
and its JSON keeps them beside each run. `make.py --add` takes them from there, so that runs of
several machines, or of a cache that is gone, come together in one picture.
"""

import json

from minicaffe.errors import Error

from . import training


def found(figure, runs, kept):
    """{run's key: its arrays, or their summary where the figure has one; None if not done}.

    kept: summaries by key, for runs that the cache doesn't hold.
    """
    arrays = {run.key: training.load(run) for run in runs}
    summary = getattr(figure, "summary", None)
    if summary is None:
        return arrays
    return {key: kept.get(key) if values is None else summary(values)
            for key, values in arrays.items()}


def read(name, figure, path):
    """{run's key: summary} of a figure's JSON; empty if there is none.

    Raises Error if the figure takes more from its runs than its JSON keeps.
    """
    if not hasattr(figure, "summary"):
        raise Error(f"{name}: needs more of its training runs than {path.name} keeps, so that "
                    "nothing can be added to it: leave out --add")
    if not path.is_file():
        return {}
    with open(path) as file:
        return {run["key"]: run["summary"] for run in json.load(file)["runs"] if "summary" in run}
