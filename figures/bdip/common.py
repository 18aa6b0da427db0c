"""The nets, training runs and scales that the figures of this paper share."""

from pathlib import Path
from typing import NamedTuple

from minicaffe.analysis.gradient_history import train_only
from minicaffe.datasets.base import resolve
from minicaffe.datasets.catalog import SETS, present
from minicaffe.errors import DataError
from minicaffe.proto import caffe_pb2, text

from ..frame.runs import Run

PROTOTXT = Path(__file__).parents[2] / "prototxt"
LENET_BLOCKS = (1, 2, 5, 10, 20, 50, 100)
CONVNET_BLOCKS = (1, 2, 4, 8, 16, 32, 64)
SVHN_MEAN = (111.6, 113.2, 120.6)                  # the colour of train_32x32.mat


class Size(NamedTuple):
    """Iterations of a run, between records of weights, between tests; batches of a test."""

    iterations: int
    record: int
    test: int
    batches: int


LENET = {"smoke": Size(4, 2, 2, 1), "quick": Size(1000, 50, 100, 100),
         "full": Size(10000, 200, 500, 100)}
CONVNET = {"smoke": Size(2, 1, 1, 1), "quick": Size(900, 50, 150, 50),
           "full": Size(9000, 200, 1000, 100)}


class Family(NamedTuple):
    """Sister nets: they differ in the number of blocks of ip1."""

    name: str                    # of the net
    blocks: tuple                # numbers of blocks, 1 first
    run: object                  # run(blocks, scale, **options) is the Run of a member
    shape: tuple                 # (inputs, outputs) of ip1, the paper's order
    layers: int


def net_name(blocks, layers):
    """The paper's notation: (10,1)-BD4."""
    return f"({','.join(map(str, blocks))})-BD{layers}"


def with_blocks(net, blocks, shuffle=False):
    """Make the inner product layers ip1, ip2 ... of a NetParameter block diagonal, in place.

    blocks: how many each gets; 1 leaves it as it is. shuffle: whole input blocks, each pass anew.
    """
    for i, count in enumerate(blocks, 1):
        layer = find(net, f"ip{i}")
        if count == 1:
            continue
        old, new = layer.inner_product_param, layer.block_inner_product_param
        new.num_output, new.num_blocks = old.num_output, count
        new.weight_filler.CopyFrom(old.weight_filler)
        new.bias_filler.CopyFrom(old.bias_filler)
        if shuffle:
            new.shuffle = new.BLOCKS
        layer.type = "BlockInnerProduct"
        layer.ClearField("inner_product_param")
    return net


def find(net, name):
    """The layer of that name in a NetParameter."""
    return next(layer for layer in net.layer if layer.name == name)


def lenet(blocks, scale="full", seed=1, activation="ReLU", shuffle=False, pruning=""):
    """The Run of LeNet on MNIST.

    activation: the type of the layer after ip1; pruning: text of the solver's pruning fields.
    """
    net, _ = text.read_net(PROTOTXT / "lenet/train_test.prototxt")
    with_blocks(net, blocks, shuffle)
    find(net, "relu1").type = activation
    what = ", sigmoid" * (activation == "Sigmoid") + ", shuffled" * shuffle
    return lenet_run(f"LeNet {net_name(blocks, 4)}{what}, seed {seed}", net, scale, seed, pruning)


def lenet_run(name, net, scale, seed, pruning="", layers=("ip1", "ip2")):
    """The Run of a net on MNIST with the solver of Caffe's LeNet."""
    size = LENET[scale]
    solver = solver_text("lenet/solver.prototxt", pruning, max_iter=size.iterations)
    return Run(name, text.to_text(net), solver, seed, layers, size.record, size.test, size.batches)


def convnet(blocks, scale="full", seed=1, data="CIFAR10", shuffle=False, pruning=""):
    """The Run of cuda-convnet (Caffe's quick net); the last ninth is at a tenth of the rate."""
    net, _ = text.read_net(PROTOTXT / "cuda_convnet/quick_train_test.prototxt")
    with_blocks(net, blocks, shuffle)
    if data == "SVHN":
        _read_svhn(net)
    size = CONVNET[scale]
    solver = solver_text("cuda_convnet/quick_solver.prototxt", pruning, max_iter=size.iterations,
                         stepvalue=[size.iterations * 8 // 9])
    name = f"cuda-convnet {net_name(blocks, 5)}{', shuffled' * shuffle} on {data}, seed {seed}"
    return Run(name, text.to_text(net), solver, seed, ("ip1", "ip2"), size.record, size.test,
               size.batches, train_batches=size.batches, final_train_batches=5 * size.batches)


def _read_svhn(net):
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source = "svhn"
            layer.data_param.backend = caffe_pb2.DataParameter.SVHN
            layer.transform_param.mean_value[:] = SVHN_MEAN


def solver_text(path, pruning="", **fields):
    """A solver of prototxt/ for any net: without tests, snapshots and seed, `fields` replaced."""
    param = text.read_solver(PROTOTXT / path)
    train_only(param)
    for name in ("net", "random_seed", "solver_mode", *fields):
        param.ClearField(name)
    param.MergeFrom(caffe_pb2.SolverParameter(**fields))
    return text.to_text(param) + pruning


LENET_FAMILY = Family("LeNet-5", LENET_BLOCKS, lambda b, *args, **kw: lenet((b, 1), *args, **kw),
                      (800, 500), 4)
CONVNET_FAMILY = Family("cuda-convnet", CONVNET_BLOCKS,
                        lambda b, *args, **kw: convnet((b, 1), *args, **kw), (1024, 64), 5)


# ---- notes below pictures

def scale_note(scale, sizes):
    """A sentence where fewer iterations than the paper's were run, in a list."""
    if scale == "full":
        return []
    here, paper = sizes[scale].iterations, sizes["full"].iterations
    return [f"scale {scale}: {here:,} of the paper's {paper:,} iterations"]


def mnist_notes(scale):
    return scale_note(scale, LENET)


def cifar_notes(scale):
    """Also, where these are not the published files, what they are."""
    notes = scale_note(scale, CONVNET)
    files = SETS["cifar10"]
    try:
        folder = resolve(files.folder)
    except DataError:
        return notes
    if not present(files, folder, "test_batch.bin"):
        notes.append("pictures re-encoded as JPEG; original Caffe reaches 74.3 % here where the "
                     "paper has 76.29 %")
    return notes


def has_svhn():
    """Whether the SVHN files are there."""
    try:
        resolve("svhn")
    except DataError:
        return False
    return True
