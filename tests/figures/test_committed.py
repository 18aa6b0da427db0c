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


def test_every_picture_is_in_the_readme():
    text = (results.FOLDER.parent / "README.md").read_text()
    pictures = {f"results/{path.name}" for path in results.FOLDER.glob("*.png")}
    assert pictures == set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", text))
