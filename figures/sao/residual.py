"""Panels of ResNets, dense and sparse from the start."""

import functools

from minicaffe import nets

from .sparse_nets import Panel


def cifar10_panels(inits, layers):
    """{scale: Panels} of Figs. 4.17 and 4.21."""
    return {"smoke": [_resnet(8, inits, (0.5,), width=4)], "quick": [_resnet(20, inits, (0.875,))],
            "full": [_resnet(n, inits, (0.5, 0.75, 0.875)) for n in layers]}


def _resnet(layers, inits, sparsities, **sizes):
    return Panel(f"ResNet-{layers}", functools.partial(nets.resnet, layers), inits, sparsities,
                 "resnet", options=sizes)


def cifar100_panels(inits, sparsities):
    """{scale: Panels} of Figs. 4.18 and 4.22."""
    return {"smoke": [_resnet18(2, inits, (0.5,))],
            "quick": [_resnet18(16, inits, sparsities[-1:])],
            "full": [_resnet18(64, inits, sparsities)]}


def _resnet18(width, inits, sparsities):
    return Panel(f"ResNet-18, W = {width}", nets.resnet18, inits, sparsities, "resnet18",
                 "cifar100", options={"width": width})
