"""Solvers of small nets whose batches are known. Import as `from solver_helpers import ...`."""

import numpy as np
from net_helpers import inputs, ip, layer, net_param

import minicaffe as caffe
from minicaffe.proto import caffe_pb2

NET = "name: 'small' " + inputs(x=(4, 5), label=(4,)) \
    + ip("c", "x", more="param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }") \
    + layer("loss", "SoftmaxWithLoss", "c label")


def make_param(source=NET, **fields):
    """A SolverParameter that writes nothing and shows nothing, but for `fields`."""
    defaults = dict(base_lr=0.5, lr_policy="fixed", max_iter=10, random_seed=1, type="SGD",
                    snapshot_after_train=False)
    if "snapshot" in fields:
        defaults.pop("snapshot_after_train")
    if source is not None:
        defaults["net_param"] = net_param(source)
    return caffe_pb2.SolverParameter(**{**defaults, **fields})


def make_solver(source=NET, dtype=np.float64, **fields):
    """A solver whose training net is fed with `batches`."""
    param = make_param(source, **fields)
    return feed(caffe.solver.solver_class(param.type)(param, dtype=dtype))


def batches(k, shape=(4, 5)):
    """Batch k: (x, label)."""
    rng = np.random.default_rng(k)
    return rng.normal(size=shape), np.arange(k, k + shape[0]) % 3


def feed(solver):
    """Let pass k of the training net see batch k, whatever the solver does."""
    solver.passes = 0

    def forward(bottom, top):
        for blob, values in zip(top, batches(solver.passes, solver.net.blobs["x"].shape)):
            blob.data = values
        solver.passes += 1

    solver.net.layers[0].forward = forward
    return solver


def gradient(w, b, k):
    """Loss and gradients of the small net on batch k."""
    x, label = batches(k)
    c = x @ w.T + b
    p = np.exp(c - c.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dc = (p - np.eye(3)[label]) / len(x)
    return -np.log(p[np.arange(4), label]).mean(), dc.T @ x, dc.sum(axis=0)
