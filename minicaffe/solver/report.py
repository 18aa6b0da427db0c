"""Caffe's lines on what a net's outputs are."""

import logging

import numpy as np

log = logging.getLogger("minicaffe")


def log_outputs(phase, net, outputs):
    """A line for each number of a net's outputs {name: array}, with its share of the loss."""
    number, weights = 0, net.blob_loss_weights
    for name in net.outputs:
        for value in np.ravel(outputs[name]):
            loss = f" (* {weights[name]:g} = {weights[name] * value:g} loss)" \
                if weights[name] else ""
            log.info("    %s net output #%d: %s = %g%s", phase, number, name, value, loss)
            number += 1
