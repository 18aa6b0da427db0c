"""Timing single layers: the cases can be built, the numbers fit together."""

import json

import pytest

from minicaffe.analysis import layer_bench
from minicaffe.layers import layer_type_list
from tools import bench


def test_all_cases_run():
    copy, bandwidth, rows = layer_bench.time_layers(list(layer_bench.CASES), 2, (2, 4, 3, 3))
    assert copy > 0 and bandwidth > 0
    assert {row.name for row in rows} == set(layer_bench.CASES)
    for row in rows:
        case = layer_bench.CASES[row.name]
        assert case.type in layer_type_list()
        passes = getattr(case, row.direction)
        assert row.bound_ms == pytest.approx(copy * passes / 2)
        assert row.ratio == pytest.approx(row.ms / row.bound_ms)


def test_the_tool_prints_and_writes_them(tmp_path, capsys):
    file = tmp_path / "bench.json"
    bench.main(["--layers", "ReLU", "Split", "--rounds", "1", "--shape", "2,3", "--json", str(file)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("copy of 2,3 float32:")
    assert [line.split()[:2] for line in lines[1:]] == [["ReLU", "forward"], ["ReLU", "backward"],
                                                        ["Split", "backward"]]
    assert [row["name"] for row in json.loads(file.read_text())["layers"]] == ["ReLU", "ReLU", "Split"]
