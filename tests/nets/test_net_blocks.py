"""Nets of given blocks: the files of prototxt/ are theirs, their sizes are the paper's."""

import math
from pathlib import Path

import pytest

import minicaffe as caffe
from minicaffe import nets
from minicaffe.errors import Error
from minicaffe.proto import caffe_pb2, text
from nets_helpers import on_inputs

PROTOTXT = Path(__file__).parents[2] / "prototxt"
FILES = {"lenet/train_test": nets.lenet(), "cuda_convnet/quick_train_test": nets.cuda_convnet(),
         "cuda_convnet/svhn_train_test": nets.cuda_convnet(data="SVHN")}
for _shuffle, _suffix in ("NONE", ""), ("BLOCKS", "_shuffled"):
    for _blocks in (10, 1), (100, 10):
        FILES[f"lenet/lenet_{_blocks[0]}_{_blocks[1]}_bd4{_suffix}"] = nets.lenet(_blocks, _shuffle)
    for _blocks in (8, 1), (64, 2):
        FILES[f"cuda_convnet/quick_{_blocks[0]}_{_blocks[1]}_bd5{_suffix}"] = \
            nets.cuda_convnet(_blocks, _shuffle)


@pytest.mark.parametrize("name", FILES)
def test_files_hold_these_nets(name):
    read, _ = text.read_net(PROTOTXT / f"{name}.prototxt")
    assert text.to_text(read) == text.to_text(FILES[name])


def inner_product_sizes(net, shape):
    """[shapes of the parameters of ip1, of ip2 ...] of the training net."""
    params = caffe.Net(on_inputs(net, shape), caffe.TRAIN).params
    return [[blob.shape for blob in blobs] for name, blobs in params.items() if name[:2] == "ip"]


MNIST, CIFAR = (2, 1, 28, 28), (2, 3, 32, 32)


@pytest.mark.parametrize("make, dense, blocks, shape, sizes, compression", [
    (nets.lenet, (1, 1), (100, 10), MNIST, [[(100, 5, 8), (500,)], [(10, 1, 50), (10,)]], 80.9),
    (nets.lenet, (1, 1), (10, 1), MNIST, [[(10, 50, 80), (500,)], [(10, 500), (10,)]], 8.9),
    (nets.cuda_convnet, (1, 1), (64, 2), CIFAR, [[(64, 1, 16), (64,)], [(2, 5, 32), (10,)]], 46.7),
    (nets.cuda_convnet, (1, 1), (8, 1), CIFAR, [[(8, 8, 128), (64,)], [(10, 64), (10,)]], 7.4),
    (lambda b: nets.inner_products((980, 10), b), None, (49, 1), MNIST,
     [[(49, 20, 16), (980,)], [(10, 980), (10,)]], 29.43),
    (lambda b: nets.inner_products((500, 500, 10), b), None, (1, 100, 1), MNIST,
     [[(500, 784), (500,)], [(100, 5, 5), (500,)], [(10, 500), (10,)]], 1.62)])
def test_sizes_are_the_papers(make, dense, blocks, shape, sizes, compression):
    assert inner_product_sizes(make(blocks), shape) == sizes
    before, after = (sum(math.prod(size) for layer in layers for size in layer)
                     for layers in (inner_product_sizes(make(dense), shape), sizes))
    assert before / after == pytest.approx(compression, abs=0.05)


def test_names():
    assert nets.net_name((10, 1), 4) == "(10,1)-BD4"
    assert nets.lenet((100, 10)).name == "LeNet (100,10)-BD4"
    assert nets.cuda_convnet((8, 1)).name == "CIFAR10_quick (8,1)-BD5"
    assert nets.inner_products((980, 10), (49, 1)).name == "inner products 980-10 (49,1)-BD2"
    assert nets.lenet().name == "LeNet"


def test_with_blocks_keeps_what_the_layers_have():
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a", type="InnerProduct", bottom=["x"], top=["a"], inner_product_param={
        "num_output": 6, "bias_term": False, "axis": 2}, param=[{"lr_mult": 3}])
    net.layer.add(name="b", type="InnerProduct", bottom=["a"], top=["b"],
                  inner_product_param={"num_output": 4, "bias_filler": {"type": "gaussian"}})
    before = net.SerializeToString()
    first, second = nets.with_blocks(net, (3, 1), "CHANNELS").layer
    p = first.block_inner_product_param
    assert net.SerializeToString() == before                         # a copy was changed
    assert (first.type, p.num_output, p.num_blocks, p.bias_term, p.axis) == \
        ("BlockInnerProduct", 6, 3, False, 2)
    assert p.shuffle == p.CHANNELS and first.param[0].lr_mult == 3
    assert not first.HasField("inner_product_param")
    assert not p.HasField("weight_filler") and not p.HasField("bias_filler")
    assert second == net.layer[1]
    assert nets.with_blocks(net, (1, 2)).layer[1].block_inner_product_param.bias_filler.type \
        == "gaussian"


def test_what_does_not_fit():
    with pytest.raises(Error, match="3 numbers of blocks are given for 2 InnerProduct layers: ip1, "
                                    "ip2"):
        nets.lenet((1, 1, 1))
    with pytest.raises(Error, match=r"numbers of blocks must be at least 1, not \(-2, 1\)"):
        nets.lenet((-2, 1))
    with pytest.raises(Error, match="unknown shuffle 'BLOCK': did you mean 'BLOCKS'"):
        nets.lenet((100, 10), "BLOCK")
    with pytest.raises(Error, match="unknown data 'svhn'"):
        nets.cuda_convnet(data="svhn")
    net = nets.lenet()
    net.layer[-3].inner_product_param.transpose = True
    with pytest.raises(Error, match="layer 'ip2': transposed weights"):
        nets.with_blocks(net, (1, 10))
    nets.with_blocks(net, (10, 1))


@pytest.mark.parametrize("path", sorted(PROTOTXT.glob("*/*_bd?_*solver.prototxt")),
                         ids=lambda path: path.stem)
def test_solvers_of_these_nets(path):
    solver = text.read_solver(path)
    net, _ = text.read_net(PROTOTXT.parent / solver.net)
    blocks = tuple(int(number) for number in path.stem.split("_")[1:3])
    if "pruned" in path.stem:
        assert not any(layer.type == "BlockInnerProduct" for layer in net.layer)
        assert {layer: message.num_blocks for message in solver.pruning for layer in message.layer} \
            == {f"ip{i}": number for i, number in enumerate(blocks, 1) if number > 1}
    else:
        assert not solver.pruning
        assert net.name.endswith(nets.net_name(blocks, 4 if "bd4" in path.stem else 5))
    same = "lenet/solver" if path.stem.startswith("lenet") else "cuda_convnet/quick_solver"
    other = text.read_solver(PROTOTXT / f"{same}.prototxt")
    for field in "base_lr", "momentum", "weight_decay", "lr_policy", "gamma", "random_seed":
        assert getattr(solver, field) == getattr(other, field)
