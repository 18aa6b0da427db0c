"""tools/prune.py: what it leaves, and that its files fit each other."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minicaffe as caffe
from minicaffe.proto import weights


@pytest.fixture
def trained(folder):
    """net.caffemodel of the folder's net."""
    net = caffe.Net("net.prototxt", caffe.TEST, seed=1)
    net.save("net.caffemodel")
    net.close()
    return net


def values(net, name):
    return net.params[name][0].data


@pytest.mark.parametrize("layer, count", [("ip", 10), ("conv", 7)])
def test_weights_left(run_tool, trained, layer, count):
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", "--layer", layer,
                      "--weights-left", str(count))
    total = values(trained, layer).size
    assert result.code == 0 and result.out == f"{layer}: {count} of {total} weights are left\n"
    pruned = caffe.Net("net.prototxt", caffe.TEST, weights="out.caffemodel")
    before = values(trained, layer)
    limit = np.sort(abs(before), axis=None)[-count]
    assert_array_equal(values(pruned, layer), np.where(abs(before) >= limit, before, 0))
    assert_array_equal(pruned.params[layer][0].mask, values(pruned, layer) != 0)
    pruned.close()


def test_outputs_left_in_two_layers(run_tool, trained):
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", "--layer", "ip",
                      "--layer", "conv", "--outputs-left", "2")
    assert result.out == "ip: 72 of 108 weights are left\nconv: 18 of 36 weights are left\n"


def test_blocks(run_tool, trained):
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", "--layer", "ip",
                      "--blocks", "3")
    assert result.out == "ip: 36 of 108 weights are left\n", result
    pruned = caffe.Net("out.prototxt", caffe.TEST, weights="out.caffemodel")
    w = values(trained, "ip")
    assert_array_equal(values(pruned, "ip"), [w[i:i + 1, 12 * i:12 * i + 12] for i in range(3)])
    assert caffe.Net("out.prototxt", caffe.TRAIN).layer_dict["ip"].type == "BlockInnerProduct"
    pruned.close()


@pytest.mark.parametrize("options, message", [
    (["--layer", "pool", "--weights-left", "3"], "'pool' is of type Pooling: MAGNITUDE prunes"),
    (["--layer", "no", "--weights-left", "3"], "the net has no layer 'no'"),
    (["--layer", "conv", "--blocks", "3"], "'conv' is of type Convolution: OFF_DIAGONAL prunes"),
    (["--layer", "ip", "--blocks", "2"], "num_output 3 is not a multiple of num_blocks 2"),
    (["--layer", "ip", "--weights-left", "109"], "target 109 is more than the 108"),
    (["--layer", "ip", "--weights-left", "0"], "0 can't be left"),
    (["--layer", "ip", "--weights-left", "99999999999"], "99999999999 can't be left"),
    (["--layer", "ip"], "one of the arguments --weights-left --outputs-left --blocks is required"),
])
def test_what_cannot_be_pruned(run_tool, trained, folder, options, message):
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", *options)
    assert result.code == 1 and message in result.err and result.err.startswith("error: ")
    assert not (folder / "out.caffemodel").exists()


def test_training_goes_on_with_what_is_left(run_tool, trained, folder):
    run_tool("prune", "net.prototxt", "net.caffemodel", "out", "--layer", "ip",
             "--weights-left", "10")
    assert run_tool("train", "solver.prototxt", "--weights", "out.caffemodel").code == 0
    stored = {layer.name: layer for layer in
              weights.read_net_weights("out/net_iter_8.caffemodel").layer}["ip"]
    assert np.count_nonzero(weights.blob_to_array(stored.blobs[0])) == 10
