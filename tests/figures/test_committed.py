"""What is committed in figures/results: whole, in figures/README.md, frank about its scale."""

import json
import re

import pytest

from figures import make
from figures.frame import results

FILES = sorted(results.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_result(path):
    result = json.loads(path.read_text())
    assert result["figure"] == path.stem and path.stem in make.names()
    assert result["scale"] == "full" or any("scale" in note for note in result["notes"])
    assert result["comparison"]
    assert path.with_suffix(".png").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_numbers_come_from_the_summaries(path):
    """Where a figure's JSON keeps a summary of each run, its numbers are those summaries'."""
    result, figure = json.loads(path.read_text()), make.module(path.stem)
    if not hasattr(figure, "summary"):
        return
    kept = {run["name"]: run["summary"] for run in result["runs"]}
    assert len(kept) == len(result["runs"])
    numbers = figure.measure(result["scale"], lambda run: kept.get(run.name))
    assert json.loads(json.dumps(numbers)) == result["numbers"]


def test_every_picture_is_in_the_readme():
    text = (results.FOLDER.parent / "README.md").read_text()
    pictures = {f"results/{path.name}" for path in results.FOLDER.glob("*.png")}
    assert pictures == set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", text))
