import math

import numpy as np
import pytest

from minicaffe import TEST, Net
from minicaffe.proto import caffe_pb2
from minicaffe.proto.weights import array_to_blob


def test_table_and_plots(run_tool, train, folder):
    assert train().code == 0
    result = run_tool("spectra", "net.prototxt", "out/net_iter_8.caffemodel", "--plots", "spectra")
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == ["layer", "conv", "ip", "spectra/conv.png",
                                                   "spectra/ip.png"]
    assert lines[1].split()[1:4] == ["4", "x", "9"] and lines[2].split()[1:4] == ["3", "x", "36"]
    for name in "conv", "ip":
        assert (folder / "spectra" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    one = run_tool("spectra", "net.prototxt", "out/net_iter_8.caffemodel", "--layer", "ip")
    assert one.out.count("\n") == 2 and "conv" not in one.out


def test_data_is_not_needed(run_tool, train, folder):
    assert train().code == 0
    (folder / "pictures" / "train-images-idx3-ubyte").unlink()
    assert run_tool("spectra", "net.prototxt", "out/net_iter_8.caffemodel").code == 0


@pytest.mark.parametrize("blocks", [["--blocks", "3"],
                                    ["--block-inputs", "10,26", "--block-outputs", "2,1"]])
def test_diagonal_blocks(run_tool, train, folder, blocks):
    assert train().code == 0
    assert run_tool("prune", "net.prototxt", "out/net_iter_8.caffemodel", "pruned", "--layer", "ip",
                    *blocks).code == 0
    result = run_tool("spectra", "pruned.prototxt", "pruned.caffemodel", "--plots", "spectra")
    assert result.code == 0
    assert result.out.splitlines()[2].split()[:4] == ["ip", "3", "x", "36"]
    wrong = run_tool("spectra", "net.prototxt", "pruned.caffemodel")
    assert wrong.code == 1 and wrong.out == ""
    assert wrong.err.startswith("error: pruned.caffemodel: layer 'ip' is of type InnerProduct in "
                                "net.prototxt, but its weights have shape (")


@pytest.mark.parametrize("filler", ["degree: 12", "degree: 13 crop: true"])
def test_sparse_orthogonal_weights(run_tool, folder, filler):
    """Also where the sizes of blocks are a blob of their own: all singular values are 1."""
    net = folder / "net.prototxt"
    sparse = net.read_text().replace('"InnerProduct"', '"SparseOrthogonalInnerProduct"').replace(
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } }',
        'sparse_orthogonal_inner_product_param { num_output: 3 weight_filler { type: "sao" '
        f'{filler} }} }}')
    net.write_text(sparse)
    Net(str(net), TEST).save("start.caffemodel")
    result = run_tool("spectra", "net.prototxt", "start.caffemodel", "--layer", "ip")
    assert result.code == 0, result
    assert float(result.out.splitlines()[1].split()[8]) == pytest.approx(3 ** 0.5, rel=1e-3)


KERNELS, MATRIX, BLOCKS = (4, 2, 3, 3), (4, 6), (2, 3, 4)


@pytest.mark.parametrize("kind, wrong", [
    ("InnerProduct", [KERNELS, BLOCKS, (24,)]), ("Convolution", [MATRIX, (24,)]),
    ("BlockInnerProduct", [MATRIX, KERNELS, (24,)]),
    ("SparseOrthogonalInnerProduct", [MATRIX, KERNELS, (24,)])])
def test_weights_of_another_type_of_layer(run_tool, folder, kind, wrong):
    (folder / "one.prototxt").write_text(f'layer {{ name: "it" type: "{kind}" }}')
    for shape in wrong:
        stored = caffe_pb2.NetParameter()
        array_to_blob(np.ones(shape, np.float32), stored.layer.add(name="it").blobs.add())
        (folder / "w.caffemodel").write_bytes(stored.SerializeToString())
        result = run_tool("spectra", "one.prototxt", "w.caffemodel")
        assert result.code == 1 and result.err.count("\n") == 1
        assert f"'it' is of type {kind} in one.prototxt, but its weights have shape" in result.err


@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 4, 3, 3), (6, 4, 3, 3, 2)])
def test_kernels_of_any_dimension(run_tool, folder, shape):
    (folder / "one.prototxt").write_text('layer { name: "it" type: "Convolution" }')
    stored = caffe_pb2.NetParameter()
    array_to_blob(np.random.default_rng(0).random(shape), stored.layer.add(name="it").blobs.add())
    (folder / "w.caffemodel").write_bytes(stored.SerializeToString())
    result = run_tool("spectra", "one.prototxt", "w.caffemodel")
    assert result.code == 0 and f"6 x {math.prod(shape[1:])}" in result.out


def test_bad_input(run_tool, train, folder):
    assert train().code == 0
    weights = "out/net_iter_8.caffemodel"
    (folder / "other.prototxt").write_text('layer { name: "x" type: "InnerProduct" bottom: "a" top: "b" }')
    for arguments, message in ((["none.prototxt", weights], "none.prototxt: can't be read"),
                               (["net.prototxt", "none"], "none: can't be read"),
                               (["net.prototxt", weights, "--layer", "ip1"], "unknown layer 'ip1'"),
                               (["other.prototxt", weights], "layer of other.prototxt has weights")):
        result = run_tool("spectra", *arguments)
        assert result.code == 1 and result.out == ""
        assert result.err.startswith("error: ") and result.err.count("\n") == 1 and message in result.err
