"""What minicaffe's solvers add to Caffe's: cosine, warm-up, decoupled weight decay."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from solver_helpers import batches, make_param, make_solver

import minicaffe as caffe
from minicaffe.errors import SolverError
from minicaffe.proto import caffe_pb2
from minicaffe.solver.lr_policy import LearningRate


def rate(**fields):
    return LearningRate(caffe_pb2.SolverParameter(**{"base_lr": 0.5, **fields}), "solver.prototxt: ")


# ---- not Caffe's

def test_cosine():
    lr = rate(lr_policy="cosine", max_iter=50, min_lr=0.125)
    for i in range(51):
        assert lr(i) == pytest.approx(0.125 + 0.375 * (1 + math.cos(math.pi * i / 50)) / 2, rel=1e-12)
    assert lr(0) == 0.5 and lr(50) == lr(80) == 0.125
    assert rate(lr_policy="cosine", max_iter=50)(50) == 0


@pytest.mark.parametrize("fields, formula", [
    (dict(lr_policy="fixed"), lambda i: 0.5),
    (dict(lr_policy="poly", power=2, max_iter=50), lambda i: 0.5 * (1 - i / 50) ** 2),
    (dict(lr_policy="step", gamma=0.25, stepsize=10), lambda i: 0.5 * 0.25 ** (i // 10)),
    (dict(lr_policy="cosine", max_iter=50), lambda i: 0.25 * (1 + math.cos(math.pi * i / 50))),
    (dict(lr_policy="multistep", gamma=0.25, stepvalue=[5, 7, 30]),
     lambda i: 0.5 * 0.25 ** ((i >= 5) + (i >= 7) + (i >= 30)))])
def test_warm_up_in_front_of_each_policy(fields, formula):
    lr = rate(**fields, warmup_iter=8, warmup_start_lr=0.25)
    for i in range(51):
        expected = 0.25 + 0.25 * i / 8 if i < 8 else formula(i)
        assert lr(i) == pytest.approx(expected, rel=1e-12), i


@pytest.mark.parametrize("fields, what", [
    (dict(warmup_iter=-1), "warmup_iter must be at least 0, not -1"),
    (dict(warmup_start_lr=0.125), "warmup_start_lr 0.125 needs warmup_iter"),
    (dict(min_lr=0.125), "min_lr is for lr_policy 'cosine', not 'fixed'"),
    (dict(min_lr=1, lr_policy="cosine", max_iter=3), "min_lr 1 is above base_lr 0.5"),
    (dict(lr_policy="cosine"), "lr_policy 'cosine' needs max_iter")])
def test_own_fields_that_make_no_sense(fields, what):
    with pytest.raises(SolverError, match="solver.prototxt: " + what):
        rate(**{"lr_policy": "fixed", **fields})

def test_adamw_against_plain_numpy():
    """Gradients of the loss alone in the moments; the weights shrink by rate * lr_mult * decay."""
    base, b1, b2, delta, decay = 0.5, 0.75, 0.875, 0.125, 0.25
    solver = make_solver(type="Adam", momentum=b1, momentum2=b2, delta=delta, weight_decay=decay,
                         base_lr=base, decoupled_weight_decay=True)
    w, b = (blob.data.copy() for blob in solver.net.params["c"])
    moments = [[0, 0], [0, 0]]
    for t in range(1, 6):
        x, label = batches(t - 1)
        p = np.exp(x @ w.T + b)
        p /= p.sum(axis=1, keepdims=True)
        dc = (p - np.eye(3)[label]) / len(x)
        for k, (g, rate, shrink) in enumerate([(dc.T @ x, base, decay), (dc.sum(axis=0), 2 * base, 0)]):
            moments[k][0] = b1 * moments[k][0] + (1 - b1) * g
            moments[k][1] = b2 * moments[k][1] + (1 - b2) * g ** 2
            a, v = moments[k]
            step = math.sqrt(1 - b2 ** t) / (1 - b1 ** t) * a / (np.sqrt(v) + delta)
            array = (w, b)[k]
            array -= rate * step + rate * shrink * array
        solver.step(1)
        for blob, expected in zip(solver.net.params["c"], (w, b)):
            assert_allclose(blob.data, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fields", [dict(type="SGD"), dict(type="AdaDelta"),
                                    dict(type="Adam", regularization_type="L1")])
def test_decoupled_decay_is_for_adam_with_l2(fields):
    with pytest.raises(SolverError, match="decoupled_weight_decay is for type Adam with .*L2, not "):
        make_solver(decoupled_weight_decay=True, **fields)


def test_share_weights():
    solver = make_solver()
    net = caffe.Net(make_param().net_param, caffe.TEST)
    other = caffe.Net(make_param().net_param, caffe.TEST, dtype=np.float64)
    before = solver.net.params["c"][0].data.copy()
    solver.share_weights(other)
    assert np.array_equal(other.params["c"][0].data, before)
    solver.step(2)
    assert np.shares_memory(other.params["c"][0].data, solver.net.params["c"][0].data)
    assert not np.array_equal(net.params["c"][0].data, other.params["c"][0].data)
