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


@pytest.mark.parametrize("out", ["new/out", "new/out.caffemodel", "new/out.prototxt"])
def test_names_of_the_written_files(run_tool, trained, tmp_path, out):
    (tmp_path / "new").mkdir()
    assert run_tool("prune", "net.prototxt", "net.caffemodel", out, "--layer", "ip",
                    "--blocks", "3").code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out.prototxt", "out.caffemodel"}


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


def test_unequal_blocks(run_tool, trained):
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", "--layer", "ip",
                      "--block-inputs", "30,6", "--block-outputs", "1,2")
    assert result.out == "ip: 42 of 108 weights are left\n", result
    pruned = caffe.Net("out.prototxt", caffe.TEST, weights="out.caffemodel")
    w = values(trained, "ip")
    assert_array_equal(values(pruned, "ip"), [*w[0, :30], *w[1:, 30:].flat])
    pruned.close()


def masks_of(run_tool, *options):
    """What the tool prints, and the masks of conv and ip (or None) it leaves."""
    result = run_tool("prune", "net.prototxt", "net.caffemodel", "out", *options)
    assert result.code == 0, result.err
    pruned = caffe.Net("net.prototxt", caffe.TEST, weights="out.caffemodel")
    pruned.close()
    return result.out, [pruned.params[name][0].mask for name in ("conv", "ip")]


def test_all_layers_together(run_tool, trained):
    out, masks = masks_of(run_tool, "--sparsity", "0.75", "--global")
    sizes = [abs(values(trained, name)) for name in ("conv", "ip")]
    limit = np.sort(np.concatenate([part.ravel() for part in sizes]))[108]         # of 144
    for mask, part in zip(masks, sizes):
        assert_array_equal(mask, part >= limit)
    left = [int(mask.sum()) for mask in masks]
    assert out == f"conv: {left[0]} of 36 weights are left\nip: {left[1]} of 108 weights are left\n"


@pytest.mark.parametrize("options, left", [
    (["--sparsity", "0.5"], [18, 54]), (["--weights-left", "20"], [20, 20]),
    (["--sparsity", "0.5", "--leave-out", "conv"], [36, 54]),
    (["--sparsity", "0.5", "--kernels"], [18, 54]),
    (["--weights-left", "1", "--kernels", "--method", "random", "--layer", "conv"], [9, 108]),
    (["--degree", "12", "--layer", "ip"], [36, 36]),
    (["--degree", "20", "--crop", "--leave-out", "conv"], [36, 36]),
    (["--sparsity", "0.6667", "--method", "ramanujan", "--layer", "ip"], [36, 36])])
def test_how_much_is_left(run_tool, trained, options, left):
    _, masks = masks_of(run_tool, *options)
    assert [size if mask is None else mask.sum() for mask, size in zip(masks, (36, 108))] == left


@pytest.mark.parametrize("options", [["--sparsity", "0.5", "--method", "random"],
                                     ["--degree", "12", "--layer", "ip"]])
def test_what_is_drawn_is_of_the_seed(run_tool, trained, options):
    first, same, other = (masks_of(run_tool, *options, *seed)[1][1]
                          for seed in ([], ["--seed", "0"], ["--seed", "1"]))
    assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("options, message", [
    (["--layer", "pool", "--weights-left", "3"], "'pool' is of type Pooling: MAGNITUDE prunes"),
    (["--layer", "no", "--weights-left", "3"], "the net has no layer 'no'"),
    (["--layer", "conv", "--blocks", "3"], "'conv' is of type Convolution: OFF_DIAGONAL prunes"),
    (["--layer", "ip", "--blocks", "2"], "num_output 3 is not a multiple of num_blocks 2"),
    (["--layer", "ip", "--weights-left", "109"], "target 109 is more than the 108"),
    (["--layer", "ip", "--weights-left", "0"], "0 can't be left"),
    (["--layer", "ip", "--weights-left", "99999999999"], "99999999999 can't be left"),
    (["--layer", "ip"], "one of the arguments --weights-left --sparsity --degree --outputs-left "
                        "--units --blocks --block-inputs is required"),
    (["--sparsity", "0.5", "--leave-out", "pool"], "leave_out 'pool' is no layer to prune: known "
                                                   "are conv, ip"),
    (["--outputs-left", "2"], "which layer? none is named"),
    (["--blocks", "3"], "which layer? none is named"),
    (["--sparsity", "1.5"], "sparsity must be at least 0 and less than 1, not 1.5"),
    (["--degree", "7"], "degree 7 does not fit"),
    (["--degree", "9", "--method", "magnitude"], "degree is of RAMANUJAN alone, not MAGNITUDE"),
    (["--outputs-left", "2", "--method", "random"], "--method random is for --weights-left"),
    (["--sparsity", "0.5", "--seed", "3"], "random_seed is of RAMANUJAN and RANDOM"),
    (["--degree", "9", "--global"], "scope is of MAGNITUDE and RANDOM, not RAMANUJAN"),
    (["--layer", "ip", "--block-inputs", "30,6"], "0 block outputs and 2 block inputs"),
    (["--layer", "ip", "--block-inputs", "30,x"], "must be whole numbers, 3,5,4, not 30,x"),
    (["--layer", "ip", "--block-inputs", "30,6", "--block-outputs", "3,0"], "0 can't be left"),
    (["--layer", "ip", "--blocks", "3", "--block-outputs", "1,2"], "give one of them"),
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
