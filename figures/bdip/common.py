"""The nets, training runs and scales that the figures of this paper share."""

from pathlib import Path
from typing import NamedTuple

from minicaffe import nets
from minicaffe.datasets.base import resolve
from minicaffe.errors import DataError
from minicaffe.nets import net_name
from minicaffe.proto import text

from ..frame.data_files import has_other_cifar
from ..frame.runs import Run, set_batch, training_text

PROTOTXT = Path(__file__).parents[2] / "prototxt"
LENET_BLOCKS = (1, 2, 5, 10, 20, 50, 100)
CONVNET_BLOCKS = (1, 2, 4, 8, 16, 32, 64)
SMOKE_BATCH = 4


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


def lenet(blocks, scale="full", seed=1, activation="ReLU", shuffle="NONE", pruning=""):
    """The Run of LeNet on MNIST.

    activation: the type of the layer after ip1; pruning: text of the solver's pruning fields.
    """
    net = nets.lenet(blocks, shuffle)
    next(layer for layer in net.layer if layer.name == "relu1").type = activation
    what = ", sigmoid" * (activation == "Sigmoid") + ", shuffled" * (shuffle != "NONE")
    return lenet_run(f"LeNet {net_name(blocks, 4)}{what}, seed {seed}", net, scale, seed, pruning)


def mlp(outputs, blocks, scale="full", seed=1, pruning="", what="", **fields):
    """The Run of a net of inner products with those outputs, ReLU between them, on MNIST.

    blocks: of ip1, ip2 ..., 1 for dense; fields: of the solver, where they differ from LeNet's.
    """
    net = nets.inner_products(outputs, blocks)
    name = f"{'-'.join(map(str, outputs))} {net_name(blocks, len(outputs))}{what}, seed {seed}"
    layers = tuple(f"ip{i}" for i in range(1, len(outputs) + 1))
    return lenet_run(name, net, scale, seed, pruning, layers, **fields)


def lenet_run(name, net, scale, seed, pruning="", layers=("ip1", "ip2"), **fields):
    """The Run of a net on MNIST with the solver of Caffe's LeNet, `fields` replaced."""
    size = LENET[scale]
    solver = solver_text("lenet/solver.prototxt", pruning, max_iter=size.iterations, **fields)
    return Run(name, text.to_text(net), solver, seed, layers, size.record, size.test, size.batches)


def convnet(blocks, scale="full", seed=1, data="CIFAR10", shuffle="NONE", pruning="", ninths=8):
    """The Run of cuda-convnet (Caffe's quick net).

    ninths: of the iterations at the first rate; the others are at a tenth of it.
    """
    net = nets.cuda_convnet(blocks, shuffle, data)
    if scale == "smoke":
        set_batch(net, SMOKE_BATCH)
    size = CONVNET[scale]
    solver = solver_text("cuda_convnet/quick_solver.prototxt", pruning, max_iter=size.iterations,
                         stepvalue=[size.iterations * ninths // 9])
    what = ", shuffled" * (shuffle != "NONE") + f", {ninths} ninths at first" * (ninths != 8)
    name = f"cuda-convnet {net_name(blocks, 5)}{what} on {data}, seed {seed}"
    # the dense net is where figures of other papers begin
    dense = set(blocks) == {1} and not pruning
    return Run(name, text.to_text(net), solver, seed, ("ip1", "ip2"), size.record, size.test,
               size.batches, train_batches=size.batches, final_train_batches=5 * size.batches,
               keep_weights=dense)


def solver_text(path, pruning="", **fields):
    """A solver of prototxt/ for any net: without tests, snapshots and seed, `fields` replaced."""
    return training_text(text.read_solver(PROTOTXT / path), **fields) + pruning


LENET_FAMILY = Family("LeNet-5", LENET_BLOCKS, lambda b, *args, **kw: lenet((b, 1), *args, **kw),
                      (800, 500), 4)
CONVNET_FAMILY = Family("cuda-convnet", CONVNET_BLOCKS,
                        lambda b, *args, **kw: convnet((b, 1), *args, **kw), (1024, 64), 5)


# ---- notes below pictures

def scale_note(scale, sizes):
    """In a list: the sentence to write where fewer iterations than the paper's were run."""
    if scale == "full":
        return []
    here, paper = sizes[scale].iterations, sizes["full"].iterations
    return [f"scale {scale}: {here:,} of the paper's {paper:,} iterations"]


def mnist_notes(scale):
    return scale_note(scale, LENET)


def cifar_notes(scale):
    """Also, where these are not the published files, what they are."""
    notes = scale_note(scale, CONVNET)
    if has_other_cifar():
        notes.append("pictures re-encoded as JPEG; original Caffe reaches 74.3 % here where the "
                     "paper has 76.29 %")
    return notes


def both_notes(scale):
    """Of a figure with runs on both."""
    return mnist_notes(scale) + cifar_notes(scale)


def has_svhn():
    """Whether the SVHN files are there."""
    try:
        resolve("svhn")
    except DataError:
        return False
    return True
