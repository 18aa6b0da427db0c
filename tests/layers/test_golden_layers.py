"""Each layer against one forward and backward pass of the original Caffe (tests/golden/layers)."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.backend import to_numpy
from minicaffe.blob import Blob
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

CASES = sorted((Path(__file__).parents[1] / "golden" / "layers").glob("*.npz"))
TOLERANCE = 2e-5          # of the largest entry of the array


def assert_close(actual, expected, what, terms=0):
    """`terms`: of what size numbers were that may have cancelled; each was rounded to 24 bits."""
    actual = to_numpy(actual)
    assert actual.shape == expected.shape, what
    limit = max(TOLERANCE * abs(expected).max(initial=0), 2.0 ** -22 * terms)
    assert abs(actual - expected).max(initial=0) <= limit, what


def arrays(case, prefix):
    """{i: case[prefix + i]} of the numbered arrays."""
    return {int(name[len(prefix):]): case[name] for name in case.files
            if name.startswith(prefix) and name[len(prefix):].isdigit()}


def build(case):
    """(layer, bottom, top) as the case's prototxt says, with Caffe's inputs and parameters."""
    net = text_format.Parse(str(case["prototxt"]), caffe_pb2.NetParameter())
    param = net.layer[-1]
    blobs = {}
    for i, values in arrays(case, "bottom").items():
        blobs[f"bottom{i}"] = Blob(values.shape)
        blobs[f"bottom{i}"].data[...] = values
    for name in param.top:
        blobs.setdefault(name, Blob())
    bottom, top = [blobs[name] for name in param.bottom], [blobs[name] for name in param.top]
    layer = layer_class(param.type)(param, str(case["phase"]), rng=np.random.default_rng(0))
    layer.set_up(bottom, top)
    for i, values in arrays(case, "param").items():
        assert layer.blobs[i].shape == values.shape
        layer.blobs[i].data[...] = values
    return layer, bottom, top


def run_before(case, layer, bottom, top):
    """The forward pass that left a hidden state behind."""
    for i, values in arrays(case, "warm_bottom").items():
        bottom[i].data[...] = values
    layer.forward(bottom, top)
    for i, values in arrays(case, "bottom").items():
        bottom[i].data[...] = values


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_layer_equals_caffe(xp, path):
    case = np.load(path)
    layer, bottom, top = build(case)
    if "warm_bottom0" in case.files:
        run_before(case, layer, bottom, top)
    layer.forward(bottom, top)
    for i, expected in arrays(case, "top").items():
        assert_close(top[i].data, expected, f"top {i}")
    for i, before in arrays(case, "param").items():
        after = case[f"param_after{i}"] if f"param_after{i}" in case.files else before
        assert_close(layer.blobs[i].data, after, f"parameter {i} after forward")
    top_diffs, bottom_diffs = arrays(case, "top_diff"), arrays(case, "bottom_diff")
    for blob in bottom:
        blob.diff[...] = np.nan
    for i, diff in top_diffs.items():
        top[i].diff[...] = diff
    if not top_diffs and not bottom_diffs:
        return
    terms = max((abs(diff).max(initial=0) for diff in top_diffs.values()), default=0)
    layer.backward(top, [i in bottom_diffs for i in range(len(bottom))], bottom)
    for i, expected in bottom_diffs.items():
        assert_close(bottom[i].diff, expected, f"bottom diff {i}", terms)
    for i, expected in arrays(case, "param_diff").items():
        assert_close(layer.blobs[i].diff, expected, f"parameter diff {i}")


def test_all_cases_are_there():
    assert len(CASES) >= 111
