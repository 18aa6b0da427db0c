"""Every figure at its smallest scale, on made-up data in the formats of the data sets it needs."""

import json
import struct

import numpy as np
import pytest
import scipy.io
from PIL import Image

from figures import make
from figures.frame import results, training
from minicaffe import cli
from minicaffe.datasets.cinic import CLASSES
from minicaffe.errors import Error


def write_idx(path, array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Data sets of a few pictures, an empty cache, a folder for results. Pillow writes PNGs."""
    folder = tmp_path_factory.mktemp("figures")
    data, rng = folder / "data", np.random.default_rng(0)
    for name in "mnist", "cifar-10-batches-bin", "svhn":
        (data / name).mkdir(parents=True)
    for prefix in "train", "t10k":
        pictures = rng.integers(256, size=(120, 28, 28)).astype(np.uint8)
        write_idx(data / "mnist" / f"{prefix}-images-idx3-ubyte", pictures)
        labels = rng.integers(10, size=120).astype(np.uint8)
        write_idx(data / "mnist" / f"{prefix}-labels-idx1-ubyte", labels)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        records = rng.integers(256, size=(40, 3073)).astype(np.uint8)
        records[:, 0] %= 10
        records.tofile(data / "cifar-10-batches-bin" / name)
    (data / "cifar-100-binary").mkdir()
    for split in "train", "test":
        records = rng.integers(100, size=(110, 3074)).astype(np.uint8)       # two labels each
        records.tofile(data / "cifar-100-binary" / f"{split}.bin")
        for name in CLASSES:
            (data / "CINIC-10" / split / name).mkdir(parents=True)
            for i in range(11):
                picture = Image.fromarray(rng.integers(256, size=(32, 32, 3)).astype(np.uint8))
                picture.save(data / "CINIC-10" / split / name / f"{i}.png")
        scipy.io.savemat(data / "svhn" / f"{split}_32x32.mat", {
            "X": rng.integers(256, size=(32, 32, 3, 110)).astype(np.uint8),
            "y": rng.integers(1, 11, size=(110, 1)).astype(np.uint8)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICAFFE_DATA", str(data))
        patch.setenv("MINICAFFE_CACHE", str(folder / "cache"))
        yield folder


def test_names_are_in_the_papers_order():
    names = make.names()
    assert names.index("bdip.fig9") < names.index("bdip.fig10") < names.index("bdip.table1")
    assert make.matching("bdip") == [name for name in names if name.startswith("bdip.")]
    assert make.matching("sao.fig4.2") == make.matching("sao.fig4_2") == ["sao.fig4_2"]
    assert make.matching("sao.table4.1") == ["sao.table4_1"]


@pytest.mark.parametrize("name", make.names())
def test_smoke(places, capsys, name):
    out = places / "out"
    assert cli.run(make.main, [name, "--scale", "smoke", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    result = json.loads((out / f"{name}.json").read_text())
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert result["figure"] == name and result["scale"] == "smoke" and result["comparison"]
    assert all(row["here"] is not None for row in result["comparison"]) or name == "bdip.fig5"
    for row in result["comparison"]:
        assert row["what"] in printed
    assert result["machine"]["processor"] and result["machine"]["threads"] >= 1
    runs = make.module(name).runs("smoke")
    assert [run["name"] for run in result["runs"]] == [run.name for run in runs]
    assert all(any("base_lr" in line for line in run["solver"]) for run in result["runs"])
    if runs:
        assert any("scale smoke:" in note for note in result["notes"])


def test_results_of_a_larger_scale_stay(places, tmp_path, capsys):
    (tmp_path / "bdip.fig1.json").write_text('{"scale": "full"}')
    assert cli.run(make.main, ["bdip.fig1", "--scale", "smoke", "--out", str(tmp_path)]) == 1
    assert "is of scale full, which scale smoke doesn't replace" in capsys.readouterr().err
    assert (tmp_path / "bdip.fig1.json").read_text() == '{"scale": "full"}'


@pytest.mark.parametrize("arguments, message", [
    (["bdip.fig99"], "unknown figure 'bdip.fig99': did you mean 'bdip.fig9'?"),
    ([], "which figure? see --list"),
    (["bdip.fig9", "--jobs", "0"], "--jobs must be at least 1"),
    (["bdip.fig9", "--jobs", "2", "--gpu", "0"], "on a GPU runs go one after the other"),
    (["bdip.fig7", "--finished"], "bdip.fig7: none of its 7 training runs is done")])
def test_bad_input(places, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("MINICAFFE_CACHE", str(tmp_path / "empty"))
    assert cli.run(make.main, [*arguments, "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_list(capsys):
    assert cli.run(make.main, ["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == make.names()
    column, = {line.index(results.title(make.module(line.split()[0]))) for line in lines}
    assert lines[0][:column].rstrip() == "bdip.fig1"


def test_finished_shows_what_is_there(places, capsys, monkeypatch):
    """Of the runs of Fig. 7 only that of one block, which Fig. 9 needs."""
    monkeypatch.setenv("MINICAFFE_CACHE", str(places / "one"))
    out = ["--scale", "smoke", "--out", str(places / "partly")]
    assert cli.run(make.main, ["bdip.fig9", *out]) == 0
    monkeypatch.setattr(training, "train", None)
    assert cli.run(make.main, ["bdip.fig7", "--finished", *out]) == 0
    result = json.loads((places / "partly" / "bdip.fig7.json").read_text())
    assert "2 of 3 training runs are not done yet" in result["notes"]
    assert [member["blocks"] for member in result["numbers"]["members"]] == [1]
    assert [run["seed"] for run in result["runs"]] == [1]


def test_add_keeps_what_other_machines_trained(places, capsys, monkeypatch):
    """Two caches with a run each: what the first held stays in the JSON, word for word."""
    name, folder = "bdip.text_readings", places / "machines"
    first, second = make.module(name).runs("smoke")
    call = [name, "--scale", "smoke", "--out", str(folder)]

    def result_of(*options):
        assert cli.run(make.main, [*call, *options]) == 0
        return json.loads((folder / f"{name}.json").read_text())

    monkeypatch.setenv("MINICAFFE_CACHE", str(folder / "one"))
    training.train(first)
    alone = result_of("--finished", "--add")                 # nothing there to be added to yet
    assert [run["name"] for run in alone["runs"]] == [first.name]
    monkeypatch.setenv("MINICAFFE_CACHE", str(folder / "two"))
    asked = []
    monkeypatch.setattr(training, "obtain",
                        lambda runs, jobs: asked.extend(map(training.train, runs)))
    both = result_of("--add")
    assert len(asked) == 1 and training.load(first) is None
    assert both["runs"][0] == alone["runs"][0] and both["runs"][1]["name"] == second.name
    assert both["numbers"]["entries"][0] == alone["numbers"]["entries"][0]
    assert not any("not done yet" in note for note in both["notes"])
    again = result_of("--finished")                          # without --add: the cache alone
    assert [run["name"] for run in again["runs"]] == [second.name]


def test_add_needs_a_summary(places, capsys):
    assert cli.run(make.main, ["bdip.fig7", "--add", "--out", str(places / "out")]) == 1
    assert "needs more of its training runs than bdip.fig7.json keeps" in capsys.readouterr().err


def test_nothing_to_compare_with(places, tmp_path, capsys, monkeypatch):
    """Runs are done, but not the one that all others are divided by."""
    monkeypatch.setenv("MINICAFFE_CACHE", str(tmp_path))
    training.train(make.module("bdip.fig7").runs("smoke")[1])
    arguments = ["bdip.fig7", "--finished", "--scale", "smoke", "--out", str(tmp_path)]
    assert cli.run(make.main, arguments) == 1
    assert "the run of LeNet-5 without blocks" in capsys.readouterr().err


class TestResults:
    def test_difference_and_table(self):
        result = {"figure": "a.b", "scale": "quick", "title": "A title.", "notes": ["a note"],
                  "comparison": [{"what": "x", "paper": 2.0, "here": 1.5, "difference": -0.5},
                                 {"what": "long name", "paper": "> 1", "here": 3,
                                  "difference": None}]}
        assert results.table(result).splitlines() == [
            "a.b (quick): A title.", "a note",
            "           paper  here  difference",
            "x              2   1.5        -0.5",
            "long name    > 1     3           -"]
        assert results.apart(2, 1.5) == -0.5 and results.apart("> 1", 1.5) is None
        assert results.apart(95.4, 100 * np.float32(0.954)) == 0

    def test_check_scale(self, tmp_path):
        path = tmp_path / "a.json"
        results.check_scale(path, "smoke")
        path.write_text('{"scale": "quick"}')
        results.check_scale(path, "quick")
        with pytest.raises(Error, match="is of scale quick"):
            results.check_scale(path, "smoke")
