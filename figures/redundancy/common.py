"""The nets, training runs and scales that the figures of this report share."""

import contextlib
from typing import NamedTuple

import numpy as np

from minicaffe import Net, backend, nets
from minicaffe.analysis.redundancy import unit_rows
from minicaffe.nets.redundancy import TRAINING
from minicaffe.nets.sources import SOURCES, TEST_BATCH
from minicaffe.proto import text

from ..frame.data_files import has_other_cifar
from ..frame.runs import Run, set_batch, training_text

RECORDS = 4                                # moments after the start whose weights are kept
TEST = 1000                                # iterations between two tests, at most
SMOKE_BATCH = 4
EVALUATION_BATCH = 500


class Member(NamedTuple):
    """A net of the report.

    title           as the report writes it
    conv            its last convolutional layer, or None
    iterations      by scale; "full" is the report's on a GPU, and what a run reaches in an hour on
                    a free CPU core (0.38 s an iteration of Conv-2, 1.0 s of Conv-6)
    seeds           by scale
    """

    title: str
    conv: str | None
    iterations: dict
    seeds: dict


ONE = (1,)
MEMBERS = {
    "lenet_300_100": Member("LeNet-300-100", None, {"smoke": 2, "quick": 5000, "full": 50000},
                            {"smoke": ONE, "quick": (1, 2), "full": (1, 2, 3, 4, 5)}),
    "conv2": Member("Conv-2", "conv1_2", {"smoke": 2, "quick": 400, "full": 8000},
                    {"smoke": ONE, "quick": ONE, "full": (1, 2)}),
    "conv6": Member("Conv-6", "conv3_2", {"smoke": 2, "quick": 150, "full": 4000},
                    {"smoke": ONE, "quick": ONE, "full": ONE}),
    "vgg19": Member("VGG19", "conv5_4", {"smoke": 2, "quick": 0, "full": 0},
                    {"smoke": ONE, "quick": (), "full": ()})}
ON_A_GPU = tuple(range(1, 11))             # seeds: the report averages over ten experiments


def iterations(name, scale):
    if scale == "full" and backend.mode() != "cpu":
        return TRAINING[name].iterations
    return MEMBERS[name].iterations[scale]


def seeds(name, scale):
    """Those of a net at a scale; none where it isn't trained, as VGG19 on a CPU."""
    if scale == "full" and backend.mode() != "cpu":
        return ON_A_GPU
    return MEMBERS[name].seeds[scale]


def note(name, scale):
    """In a list: the sentence to write where a net isn't trained as long as in the report."""
    title, of = MEMBERS[name].title, TRAINING[name].iterations
    if not seeds(name, scale):
        return [f"scale {scale}: {title} is left to a GPU"]
    here = iterations(name, scale)
    what = title + ", an eighth as wide," * (scale == "smoke")
    words = f"scale {scale}: {what} trained for {here:,} of the report's {of:,} iterations"
    return [] if here == of else [words]


def notes_for(*names):
    """The figure's `notes`, of several nets."""
    def notes(scale):
        lines = [line for name in names for line in note(name, scale)]
        if has_other_cifar() and any(TRAINING[name].data == "cifar10" for name in names):
            lines.append("CIFAR-10: pictures re-encoded as JPEG")
        return lines

    return notes


def run(name, scale, seed=1, resampled=()):
    """The Run of a net, whose weights are kept of the end and of the lowest loss on the test set.

    resampled: layers that draw other initial weights, all else being as in the run without: they
    have other names, from which their random numbers come.
    """
    count, small = iterations(name, scale), scale == "smoke"
    net = nets.redundancy_net(name, SMOKE_BATCH if small else None)
    if small:
        set_batch(net, SMOKE_BATCH, "test")
        narrow(net)
    rename(net, {layer: layer + "_again" for layer in resampled})
    what = ", other classifier" if resampled else ""
    conv = MEMBERS[name].conv
    history = tuple(layer + "_again" * (layer in resampled) for layer in (conv, "ip1") if layer)
    tests = SOURCES[TRAINING[name].data].test_size // TEST_BATCH
    return Run(f"{MEMBERS[name].title}, seed {seed}{what}", text.to_text(net),
               training_text(nets.redundancy_solver(name, "", count)), seed, layers=(),
               record=-(-count // RECORDS), test=min(TEST, -(-count // RECORDS)),
               test_batches=1 if small else tests, keep_weights=True, history=history,
               keep_best=True)


def runs_of(*names):
    """The figure's `runs`: all seeds of those nets."""
    return lambda scale: [run(name, scale, seed) for name in names for seed in seeds(name, scale)]


def done(name, scale, load):
    """[(Run, its arrays)] of the runs of a net that are done, seed by seed."""
    found = [(each, load(each)) for each in runs_of(name)(scale)]
    return [(each, arrays) for each, arrays in found if arrays is not None]


def moments(arrays, layer):
    """(T, m, n) float64 weights of a layer of a run: [0] at the start, [-1] after training."""
    return np.array([unit_rows(weights) for weights in arrays[f"{layer}.history"]])


def rename(net, names):
    """Give layers of a NetParameter, and their tops, other names."""
    for layer in net.layer:
        layer.name = names.get(layer.name, layer.name)
        for blobs in layer.bottom, layer.top:
            blobs[:] = [names.get(blob, blob) for blob in blobs]


def narrow(net):
    """Leave an eighth of the units of each layer, but for the classes."""
    for layer in net.layer:
        for param in layer.convolution_param, layer.inner_product_param:
            if param.num_output > SOURCES["cifar10"].classes:
                param.num_output //= 8


@contextlib.contextmanager
def trained_net(trained, scale, at_the_end=False):
    """(the TEST net of a Run with its weights of the lowest loss or the end, batches in its test
    set).

    Report, Section 3.1: what is pruned are the weights of the lowest validation loss; here the test
    set stands for the validation set, which the report doesn't describe.
    """
    param, batches = trained.net_param(), 1
    if scale != "smoke":
        set_batch(param, EVALUATION_BATCH, "test")
        batches = 10000 // EVALUATION_BATCH
    net = Net(param, "TEST")
    with contextlib.closing(net):
        net.copy_from(str(trained.final_weights if at_the_end else trained.best_weights))
        yield net, batches
