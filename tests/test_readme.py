"""The README's Python examples run as printed, and give the numbers printed beside them."""

import pathlib
import re
import struct

import numpy as np
import pytest

import minicaffe as caffe

ROOT = pathlib.Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working directory with the prototxt files, and a few made-up pictures as MNIST."""
    (tmp_path / "prototxt").symlink_to(ROOT / "prototxt")
    (tmp_path / "mnist").mkdir()
    rng = np.random.default_rng(0)
    for prefix in "train", "t10k":
        for kind, shape, most in ("images-idx3", (128, 28, 28), 256), ("labels-idx1", (128,), 10):
            header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            values = rng.integers(most, size=shape).astype(np.uint8)
            (tmp_path / "mnist" / f"{prefix}-{kind}-ubyte").write_bytes(header + values.tobytes())
    monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_python_examples(checkout, capsys):
    assert len(BLOCKS) == 4
    names = {}
    with np.printoptions():                             # the example sets some
        exec(BLOCKS[0], names)
    comments = "\n".join(line.split("#", 1)[1] for line in BLOCKS[0].splitlines() if "#" in line)
    number = r"-?\d+\.\d*"
    shown = re.findall(number, capsys.readouterr().out)
    assert len(shown) == 1 + 6 + 3 + 6 + 2 and re.findall(number, comments) == shown
    exec(BLOCKS[1], names)
    exec(BLOCKS[2], names)
    assert names["solver"].iter == 10
    names["solver"].close()
    saved = caffe.Net("prototxt/lenet/train_test.prototxt", caffe.TEST, weights="lenet.caffemodel")
    np.testing.assert_array_equal(saved.params["ip1"][0].data, names["net"].params["ip1"][0].data)
    exec(BLOCKS[3], names)
    assert names["w"].data.shape == (100, 5, 8)


def test_first_net_is_the_file(checkout):
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"```\n(layer \{ name: \"input\".*?)```", text, re.DOTALL).group(1)
    assert shown in (ROOT / "prototxt/first/net.prototxt").read_text()


def test_every_tool_is_in_the_table():
    text = (ROOT / "README.md").read_text()
    for script in (ROOT / "tools").glob("[a-z]*.py"):
        assert f"| `{script.name}" in text, script.name
