"""debug_info: Caffe's lines on the mean magnitudes of a net's blobs. On the GPU they wait for it."""

import logging
import math

import numpy as np

log = logging.getLogger("minicaffe")


def mean_abs(array):
    """The mean absolute value of an array, 0 for an empty one."""
    return float(abs(array).sum(dtype=np.float64)) / max(1, array.size)


def log_forward(net, i):
    """Layer i after its forward: tops and parameters."""
    name = net._layer_names[i]
    for top in net._top_names[i]:
        log.info("    [Forward] Layer %s, top blob %s data: %g", name, top,
                 mean_abs(net.blobs[top].data))
    specs = net.layers[i].layer_param.param
    for k, blob in enumerate(net.layers[i].blobs):
        blob_name = specs[k].name if k < len(specs) else ""
        log.info("    [Forward] Layer %s, param blob %s data: %g", name, blob_name or k,
                 mean_abs(blob.data))


def log_backward(net, i):
    """Layer i after its backward: what it computed."""
    name, layer = net._layer_names[i], net.layers[i]
    for bottom, need in zip(net._bottom_names[i], net._plan.bottom_need_backward[i]):
        if need:
            log.info("    [Backward] Layer %s, bottom blob %s diff: %g", name, bottom,
                     mean_abs(net.blobs[bottom].diff))
    for k, blob in enumerate(layer.blobs):
        if layer.param_propagate_down[k]:
            log.info("    [Backward] Layer %s, param blob %d diff: %g", name, k, mean_abs(blob.diff))


def log_norms(net):
    """All parameters and all their gradients."""
    data = _norms(blob.data for blob in net.learnable_params)
    diff = _norms(blob.diff for blob in net.learnable_params)
    log.info("    [Backward] All net params (data, diff): L1 norm = (%g, %g); "
             "L2 norm = (%g, %g)", data[0], diff[0], data[1], diff[1])


def log_update(net):
    """All parameters after their update, which their diffs hold."""
    for (name, i), blob in zip(net._learnable.names, net.learnable_params):
        log.info("    [Update] Layer %s, param %d data: %g; diff: %g", name, i,
                 mean_abs(blob.data), mean_abs(blob.diff))


def _norms(arrays):
    flat = [array.reshape(-1) for array in arrays]
    return (sum(float(abs(a).sum(dtype=np.float64)) for a in flat),
            math.sqrt(sum(float((a * a).sum(dtype=np.float64)) for a in flat)))
