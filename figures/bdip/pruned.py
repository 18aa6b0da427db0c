"""Training runs with pruning: IP-BDIP, magnitude ("traditional"), whole nodes."""

import dataclasses

from minicaffe.nets import net_name

from .common import CONVNET, LENET, convnet, lenet

# dense iterations, then pruning iterations; penalty alpha of Eq. 1 (the paper doesn't give it)
LENET_PHASES = (15, 350)
CONVNET_PHASES = (500, 900)                   # the paper: "less than 1000"
ALPHA = 0.001
LENET_SIZES = (400000, 5000)                  # weights of ip1, ip2
CONVNET_SIZES = (65536, 640)


def phases(given, sizes, scale):
    """(start, end) of the pruning iterations, in proportion to the scale's iterations."""
    share = sizes[scale].iterations / sizes["full"].iterations
    start, length = (max(1, round(share * number)) for number in given)
    return start, start + length


def fields(method, start, end, layers, alpha=ALPHA):
    """The solver's text for pruning; layers: {name: text of its own fields}."""
    common = f"method: {method} start_iter: {start} end_iter: {end} alpha: {alpha}"
    return "".join(f'pruning {{ layer: "{layer}" {common} {own} }}\n'
                   for layer, own in layers.items())


def off_diagonal(blocks, start, end, alpha=ALPHA, more=""):
    """Towards that many blocks in ip1, ip2; a layer of one block is left alone.

    more: text of further fields.
    """
    layers = {f"ip{i}": f"num_blocks: {b} {more}" for i, b in enumerate(blocks, 1) if b > 1}
    return fields("OFF_DIAGONAL", start, end, layers, alpha)


def magnitude(targets, start, end, more=""):
    """Down to so many nonzeros in ip1, ip2; None leaves a layer alone. more: text of fields."""
    return fields("MAGNITUDE", start, end, {f"ip{i}": f"target: {target} {more}".strip()
                                            for i, target in enumerate(targets, 1) if target})


def same_nonzeros(blocks, sizes):
    """As many entries as blocks leave in ip1, ip2; None where that is all."""
    return [size // b if b > 1 else None for b, size in zip(blocks, sizes)]


def named(run, what):
    """The same run under a name that says how it is pruned."""
    return dataclasses.replace(run, name=f"{run.name}, {what}")


def lenet_ip(blocks, scale, seed):
    """IP-BDIP of LeNet."""
    text = off_diagonal(blocks, *phases(LENET_PHASES, LENET, scale))
    return named(lenet((1, 1), scale, seed, pruning=text), f"IP-BDIP {net_name(blocks, 4)}")


def lenet_traditional(blocks, scale, seed):
    """LeNet pruned to the nonzeros of those blocks, wherever they lie."""
    text = magnitude(same_nonzeros(blocks, LENET_SIZES), *phases(LENET_PHASES, LENET, scale))
    return named(lenet((1, 1), scale, seed, pruning=text), f"traditional {net_name(blocks, 4)}")


def convnet_ip(blocks, scale, seed, data="CIFAR10"):
    """IP-BDIP of cuda-convnet."""
    text = off_diagonal(blocks, *phases(CONVNET_PHASES, CONVNET, scale))
    return named(convnet((1, 1), scale, seed, data, pruning=text), f"IP-BDIP {net_name(blocks, 5)}")


def convnet_traditional(blocks, scale, seed, data="CIFAR10"):
    """cuda-convnet pruned to the nonzeros of those blocks."""
    return convnet_to(same_nonzeros(blocks, CONVNET_SIZES), scale, seed, data)


def convnet_to(targets, scale, seed, data="CIFAR10", given=CONVNET_PHASES, more="", what=""):
    """cuda-convnet pruned to so many nonzeros of ip1, ip2.

    given: dense, pruning iterations; more: text of further fields; what: these in the run's name.
    """
    text = magnitude(targets, *phases(given, CONVNET, scale), more)
    return named(convnet((1, 1), scale, seed, data, pruning=text), f"to {targets} nonzeros{what}")


def convnet_nodes(nodes, scale, seed):
    """cuda-convnet with ip1's outputs pruned down to so many."""
    text = fields("NODE", *phases(CONVNET_PHASES, CONVNET, scale), {"ip1": f"target: {nodes}"})
    return named(convnet((1, 1), scale, seed, pruning=text), f"ip1 pruned to {nodes} outputs")
