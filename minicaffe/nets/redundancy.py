"""The nets of Heitmann's Sources of Redundancy in Neural Networks, Section 3 (Fig. 1), and solvers.

Weights are drawn after Glorot and Bengio, normal, with variance 2 / (fan in + fan out). The report
gives iterations, batches, optimisers and rates; what it leaves open follows Frankle and Carbin
(arXiv:1803.03635 and 1903.01611), whose nets these are: weight decay 1e-4 and batch normalisation
for VGG-19, whose rate falls after a half and three quarters of the iterations.
"""

from typing import NamedTuple

from ..errors import Error, unknown
from ..proto import caffe_pb2
from .chain import Chain
from .sources import SOURCES, TEST_BATCH, add_data

# Pixels from -1 to 1. The report doesn't say; with 0 to 1 its order of criteria doesn't show on
# MNIST, and with mean 0 and variance 1 less of Conv-2's norm lies in ten directions than it finds.
DATA = {name: SOURCES[name]._replace(mean=(127.5,) * SOURCES[name].shape[0], scale=1 / 127.5)
        for name in ("mnist", "cifar10")}
FILLER = {"type": "xavier", "values": "NORMAL", "variance_norm": "AVERAGE"}
# of each block: convolutions, channels, pooling after it
BLOCKS = {"conv2": [(2, 64, "MAX")],
          "conv6": [(2, 64, "MAX"), (2, 128, "MAX"), (2, 256, "MAX")],
          "vgg19": [(2, 64, "MAX"), (2, 128, "MAX"), (4, 256, "MAX"), (4, 512, "MAX"),
                    (4, 512, "AVE")]}
NEURONS = {"conv2": (256, 256), "conv6": (256, 256), "vgg19": (512, 512)}


class Training(NamedTuple):
    """How a net is trained; steps: fractions of the iterations after which the rate is a tenth."""

    data: str
    iterations: int
    batch_size: int
    type: str
    rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    steps: tuple = ()


TRAINING = {"lenet_300_100": Training("mnist", 50000, 64, "SGD", 3e-3),
            "conv2": Training("cifar10", 20000, 64, "Adam", 2e-4),
            "conv6": Training("cifar10", 40000, 60, "Adam", 3e-4),
            "vgg19": Training("cifar10", 112000, 64, "SGD", 0.1, 0.9, 1e-4, (0.5, 0.75))}


def redundancy_net(name, batch_size=None):
    """The NetParameter of that name. Pixels are from -1 to 1.

    lenet_300_100     784 - 300 - 100 - 10 on MNIST, 266,000 weights
    conv2, conv6      VGG-like on CIFAR-10: 3 x 3 convolutions of 64 (of 64, 128, 256) channels, two
                      a block, maxima of 2 x 2 after each, then 256 - 256 - 10. Conv-6 has 2.26e6
                      weights: the report's 1.7M don't fit its own sizes, nor its Q = 16 for ip1.
    vgg19             16 convolutions, the last block averaged, then 512 - 512 - 10; pictures are
                      padded by 4, cropped and mirrored
    """
    training = _training(name)
    batch_size = batch_size or training.batch_size
    if name == "lenet_300_100":
        net = Chain("LeNet-300-100", rates=())
        add_data(net, DATA["mnist"], 28, batch_size, augment=False)
        return _classify(net, (300, 100))
    net = Chain({"conv2": "Conv-2", "conv6": "Conv-6", "vgg19": "VGG-19"}[name], rates=())
    add_data(net, DATA["cifar10"], 32, batch_size, augment=name == "vgg19")
    for block, (convolutions, channels, pooling) in enumerate(BLOCKS[name], 1):
        for i in range(1, convolutions + 1):
            _convolve(net, f"{block}_{i}", channels, normalise=name == "vgg19")
        net.add("Pooling", f"pool{block}",
                pooling_param={"pool": pooling, "kernel_size": 2, "stride": 2})
    return _classify(net, NEURONS[name])


def redundancy_solver(name, net, iterations=None):
    """The SolverParameter for the net's file `net`; iterations: other than the report's."""
    t = _training(name)
    count, source = iterations or t.iterations, SOURCES[t.data]
    solver = caffe_pb2.SolverParameter(
        net=net, type=t.type, base_lr=t.rate, momentum=t.momentum, max_iter=count, display=100,
        test_iter=[source.test_size // TEST_BATCH], test_interval=1000, lr_policy="fixed",
        snapshot_prefix="runs/" + name, random_seed=1, solver_mode="CPU")
    if t.type == "Adam":
        solver.momentum2 = 0.999
    if t.weight_decay:
        solver.weight_decay = t.weight_decay
    if t.steps:
        solver.lr_policy, solver.gamma = "multistep", 0.1
        solver.stepvalue.extend(round(step * count) for step in t.steps)
    return solver


def _training(name):
    if name not in TRAINING:
        raise Error(unknown("net", name, TRAINING))
    return TRAINING[name]


def _convolve(net, name, channels, normalise):
    net.learn("Convolution", f"conv{name}", FILLER, num_output=channels, kernel_size=[3], pad=[1],
              bias_term=not normalise)
    if normalise:
        net.add_in_place("BatchNorm", f"norm{name}",
                         batch_norm_param={"moving_average_fraction": 0.9})
        net.add_in_place("Scale", f"scale{name}", scale_param={"bias_term": True})
    net.activate("ReLU", name)


def _classify(net, neurons):
    for i, outputs in enumerate(neurons, 1):
        net.learn("InnerProduct", f"ip{i}", FILLER, num_output=outputs)
        net.activate("ReLU", f"_ip{i}")
    net.learn("InnerProduct", f"ip{len(neurons) + 1}", FILLER, num_output=10)
    return net.finished()
