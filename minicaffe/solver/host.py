"""A solver's update on the CPU: parameter by parameter, each in pieces that stay in cache."""

import logging
import math

import numpy as np

from ..primitives.parallel import one_blas_thread
from ..primitives.update import fused_update

log = logging.getLogger("minicaffe")


def update(solver, rate):
    """Turn the diffs of the solver's net into updates and subtract them; `rate` before lr_mult."""
    p, net, history = solver.param, solver.net, solver.history
    scale = _clip_scale(net, p.clip_gradients) / p.iter_size
    count = len(net.learnable_params)
    with one_blas_thread():
        for i, (blob, lr, decay) in enumerate(zip(net.learnable_params, net.params_lr,
                                                  net.params_weight_decay)):
            rule = _chunk_rule(solver, rate * lr, p.weight_decay * decay, scale)
            arrays = [blob.data.reshape(-1), blob.diff.reshape(-1), *history[i::count]]
            fused_update(rule, arrays, None if blob.mask is None else blob.mask.reshape(-1))


def _clip_scale(net, limit):
    """The factor that brings the norm of all gradients down to `limit`, if it is above."""
    if limit < 0:
        return 1.0
    square = 0.0
    with one_blas_thread():           # or the sum's last bits depend on the number of cores
        for blob in net.learnable_params:
            flat = blob.diff.reshape(-1)
            square += float(flat @ flat)
    norm = math.sqrt(square)
    if norm <= limit:
        return 1.0
    log_clipping(norm, limit, limit / norm)
    return limit / norm


def log_clipping(norm, limit, scale):
    """Say that the gradients, of that norm, are made smaller."""
    log.info("Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
             norm, limit, scale)


def _chunk_rule(solver, rate, decay, scale):
    """The rule for one parameter: scale and decay the gradient, then the solver's own rule."""
    absolute = solver.param.regularization_type == "L1"
    decoupled = solver.param.decoupled_weight_decay

    def rule(g, w, *rest):
        scratch = rest[-1]
        if scale != 1:
            g *= scale
        if decay and not decoupled:
            if absolute:
                np.sign(w, out=scratch)
                scratch *= decay
            else:
                np.multiply(w, decay, out=scratch)
            g += scratch
        solver.rule(g, w, *rest, rate)
        if decay and decoupled:
            np.multiply(w, rate * decay, out=scratch)
            g += scratch
    return rule
