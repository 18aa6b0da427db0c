"""Updates of every rule against plain NumPy, with clipping, decay, iter_size and masks."""

import math

import numpy as np
import pytest
from net_helpers import inputs, ip, layer
from numpy.testing import assert_allclose, assert_array_equal
from solver_helpers import NET, gradient, make_solver

from minicaffe.backend import to_numpy

M, M2, D, RMS = 0.75, 0.875, 0.125, 0.625          # exact in single precision


def zeros(w):
    return [np.zeros_like(v) for v in w]


def sgd(g, rate, s, t):
    s["h"] = M * s.get("h", 0) + rate * g
    return s["h"]


def nesterov(g, rate, s, t):
    old = s.get("h", 0)
    s["h"] = M * old + rate * g
    return (1 + M) * s["h"] - M * old


def adagrad(g, rate, s, t):
    s["h"] = s.get("h", 0) + g ** 2
    return rate * g / (np.sqrt(s["h"]) + D)


def rmsprop(g, rate, s, t):
    s["h"] = RMS * s.get("h", 0) + (1 - RMS) * g ** 2
    return rate * g / (np.sqrt(s["h"]) + D)


def adadelta(g, rate, s, t):
    s["h"] = M * s.get("h", 0) + (1 - M) * g ** 2
    v = g * np.sqrt((s.get("u", 0) + D) / (s["h"] + D))
    s["u"] = M * s.get("u", 0) + (1 - M) * v ** 2
    return rate * v


def adam(g, rate, s, t):
    s["m"] = M * s.get("m", 0) + (1 - M) * g
    s["v"] = M2 * s.get("v", 0) + (1 - M2) * g ** 2
    return rate * math.sqrt(1 - M2 ** t) / (1 - M ** t) * s["m"] / (np.sqrt(s["v"]) + D)


RULES = {"SGD": (sgd, dict(momentum=M)), "Nesterov": (nesterov, dict(momentum=M)),
         "AdaGrad": (adagrad, dict(delta=D)), "RMSProp": (rmsprop, dict(delta=D, rms_decay=RMS)),
         "AdaDelta": (adadelta, dict(momentum=M, delta=D)),
         "Adam": (adam, dict(momentum=M, momentum2=M2, delta=D))}
OPTIONS = [dict(), dict(iter_size=3), dict(clip_gradients=0.25), dict(clip_gradients=100.0),
           dict(weight_decay=0.25), dict(weight_decay=0.25, regularization_type="L1"),
           dict(iter_size=2, clip_gradients=0.5, weight_decay=0.125, lr_policy="step", gamma=0.5,
                stepsize=2)]


def reference(rule, w, b, iterations, mask=None, *, iter_size=1, clip_gradients=-1, weight_decay=0,
              regularization_type="L2", gamma=1, stepsize=1000, **_):
    """Weights and loss after each iteration, in Caffe's order."""
    states, k = ({}, {}), 0
    for t in range(iterations):
        total, losses = [0, 0], 0
        for _ in range(iter_size):
            loss, *g = gradient(w, b, k)
            total, losses, k = [a + d for a, d in zip(total, g)], losses + loss, k + 1
        norm = math.sqrt(sum((g ** 2).sum() for g in total))
        scale = clip_gradients / norm if 0 <= clip_gradients < norm else 1
        new = []
        for value, g, state, lr_mult, decay_mult in zip((w, b), total, states, (1, 2), (1, 0)):
            g = g * scale / iter_size
            g = g + weight_decay * decay_mult * (np.sign(value) if regularization_type == "L1"
                                                 else value)
            update = rule(g, 0.5 * gamma ** (t // stepsize) * lr_mult, state, t + 1)
            new.append(value - (update * mask if mask is not None and value is w else update))
        w, b = new
        yield w, b, losses / iter_size


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("type_name", sorted(RULES))
def test_updates_equal_plain_numpy(type_name, masked, options):
    rule, fields = RULES[type_name]
    solver = make_solver(type=type_name, **fields, **options)
    weights, biases = solver.net.params["c"]
    mask = None
    if masked:
        mask = np.random.default_rng(0).random((3, 5)) < 0.5
        weights.mask = mask
    expected = reference(rule, weights.data.copy(), biases.data.copy(), 8, mask, **options)
    for t, (w, b, loss) in enumerate(expected):
        solver.step(1)
        assert solver.smoothed_loss == pytest.approx(loss, rel=1e-9)
        assert_allclose(weights.data, w, rtol=1e-9, atol=1e-12)
        assert_allclose(biases.data, b, rtol=1e-9, atol=1e-12)
        if masked:
            assert not weights.data[~mask].any() and not weights.diff[~mask].any()
        assert solver.iter == t + 1


def test_single_precision_stays_single():
    for type_name, (_, fields) in RULES.items():
        solver = make_solver(type=type_name, dtype=np.float32, **fields)
        solver.step(2)
        assert {h.dtype for h in solver.history} == {np.dtype(np.float32)}
        assert solver.net.params["c"][0].data.dtype == np.float32


def test_a_parameter_with_rate_zero_is_left_alone():
    net = NET.replace("lr_mult: 1 ", "lr_mult: 0 ")
    solver = make_solver(net, weight_decay=0.5)
    before = solver.net.params["c"][0].data.copy()
    solver.step(3)
    assert_array_equal(solver.net.params["c"][0].data, before)


def test_shared_parameters_are_updated_once():
    """x w w with one w: gradients summed, one history, one decay, counted once by the norm."""
    fields = "param { name: 'w' } param { lr_mult: 0 }"
    net = inputs(x=(4, 5), label=(4,)) + ip("a", "x", 5, more=fields) \
        + ip("b", "a", 5, more=fields) \
        + layer("loss", "SoftmaxWithLoss", "b label")
    solver = make_solver(net, momentum=0.5, clip_gradients=0.0078125, weight_decay=0.25)
    assert len(solver.history) == 3
    w = solver.net.params["a"][0]
    before = w.data.copy()
    gradients = []
    solver.add_callback(on_gradients_ready=lambda: gradients.append(to_numpy(w.diff).copy()))
    solver.step(1)
    g = 0.0078125 * gradients[0] / np.linalg.norm(gradients[0]) + 0.25 * before
    assert_allclose(w.data, before - 0.5 * g, rtol=1e-10)
    assert_array_equal(solver.net.params["b"][0].data, w.data)


def test_two_runs_with_one_seed_are_the_same_bits():
    net = NET.replace('bottom: "c" bottom: "label"', 'bottom: "d" bottom: "label"').replace(
        'layer { name: "loss"', layer("d", "Dropout", "c") + 'layer { name: "loss"')
    runs = []
    for seed in (1, 1, 2):
        solver = make_solver(net, np.float32, random_seed=seed, momentum=0.5)
        solver.step(5)
        runs.append(solver.net.params["c"][0].data)
    assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_average_loss():
    solver, single = make_solver(average_loss=3), make_solver()
    losses = []
    for _ in range(7):
        single.step(1)
        losses.append(single.smoothed_loss)
    smoothed = []
    solver.add_callback(on_gradients_ready=lambda: smoothed.append(solver.smoothed_loss))
    solver.step(7)
    assert_allclose(smoothed, [np.mean(losses[max(0, i - 2):i + 1]) for i in range(7)], rtol=1e-12)
