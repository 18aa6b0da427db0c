"""Timing block diagonal products: the sides can be run, and run in turns."""

import json
import math

import pytest

from minicaffe.analysis import block_bench
from minicaffe.errors import Error
from tools import bench


def test_numbers_of_blocks():
    assert block_bench.block_counts(64) == [2, 4, 8, 16]
    assert block_bench.block_counts(8) == [2]
    assert block_bench.block_counts(4) == []


def test_products(monkeypatch):
    monkeypatch.setattr(block_bench.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(block_bench, "_MOST_NONZEROS", 16 * 16 // 4)
    seen = []
    rows = block_bench.products(16, [2, 4], 2, batch=3, report=seen.append)
    assert seen == rows and [(row.n, row.blocks) for row in rows] == [(16, 2), (16, 4)]
    for row in rows:
        assert row.torch is None and row.torch_all is None
        assert all(math.isfinite(value) and value > 0
                   for value in (row.forward, row.all, row.dense, row.dense_all))
    assert rows[0].csr is None and rows[1].csr > 0


def test_pytorch_takes_its_turns_in_another_process():
    pytest.importorskip("torch")
    row, = block_bench.products(16, [2], 1, batch=3)
    assert row.torch > 0 and row.torch_all > 0


def test_the_tool_prints_and_writes_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(block_bench.importlib.util, "find_spec", lambda name: None)
    file = tmp_path / "bench.json"
    bench.main(["--blocks", "8,16", "--rounds", "1", "--json", str(file)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["n", "blocks", "forward:"]
    assert [line[:2] for line in lines[1:]] == [["8", "2"], ["16", "2"], ["16", "4"]]
    for line, row in zip(lines[1:], json.loads(file.read_text())["blocks_us"]):
        assert line[4] == line[8] == "-"                                 # PyTorch's columns
        assert float(line[3]) == pytest.approx(row["dense"] / row["forward"], abs=0.006)
        assert float(line[5]) == pytest.approx(row["csr"] / row["forward"], abs=0.006)
        assert float(line[7]) == pytest.approx(row["dense_all"] / row["all"], abs=0.006)


def test_sizes_that_are_none(capsys):
    with pytest.raises(Error, match="--blocks 8,x: must be whole numbers"):
        bench.main(["--blocks", "8,x"])
