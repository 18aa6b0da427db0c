import math

import pytest

from minicaffe.errors import SolverError
from minicaffe.proto import caffe_pb2
from minicaffe.solver.lr_policy import POLICIES, LearningRate


def rate(**fields):
    param = caffe_pb2.SolverParameter(**{"base_lr": 0.5, **fields})
    return LearningRate(param, "solver.prototxt: ")


CASES = [(dict(lr_policy="fixed"), lambda i: 0.5),
         (dict(lr_policy="step", gamma=0.25, stepsize=10), lambda i: 0.5 * 0.25 ** (i // 10)),
         (dict(lr_policy="exp", gamma=0.75), lambda i: 0.5 * 0.75 ** i),
         (dict(lr_policy="inv", gamma=0.125, power=0.75), lambda i: 0.5 * (1 + 0.125 * i) ** -0.75),
         (dict(lr_policy="poly", power=2, max_iter=50), lambda i: 0.5 * (1 - i / 50) ** 2),
         (dict(lr_policy="poly", power=0.5, max_iter=50), lambda i: 0.5 * (1 - i / 50) ** 0.5),
         (dict(lr_policy="sigmoid", gamma=0.25, stepsize=20),
          lambda i: 0.5 / (1 + math.exp(-0.25 * (i - 20)))),
         (dict(lr_policy="sigmoid", gamma=-0.25, stepsize=20),
          lambda i: 0.5 / (1 + math.exp(0.25 * (i - 20)))),
         (dict(lr_policy="multistep", gamma=0.25, stepvalue=[5, 7, 30]),
          lambda i: 0.5 * 0.25 ** ((i >= 5) + (i >= 7) + (i >= 30)))]


@pytest.mark.parametrize("fields, formula", CASES, ids=[str(fields) for fields, _ in CASES])
def test_formulas(fields, formula):
    lr = rate(**fields)
    for i in range(51):
        assert lr(i) == pytest.approx(formula(i), rel=1e-12), i


def test_all_policies_of_caffe_are_there():
    assert {fields["lr_policy"] for fields, _ in CASES} <= set(POLICIES)


def test_multistep_advances_one_step_an_iteration():
    """Two equal stepvalues take two iterations, as in Caffe, however often somebody asks."""
    lr = rate(lr_policy="multistep", gamma=0.5, stepvalue=[3, 3])
    assert [lr(i) for i in range(7)] == [0.5, 0.5, 0.5, 0.25, 0.125, 0.125, 0.125]
    lr = rate(lr_policy="multistep", gamma=0.5, stepvalue=[3, 3])
    thrice = [(lr(i), lr(i), lr(i)) for i in range(7)]
    assert [rates[2] for rates in thrice] == [0.5, 0.5, 0.5, 0.25, 0.125, 0.125, 0.125]


def test_current_step_is_counted_and_may_be_restored():
    lr = rate(lr_policy="step", gamma=0.5, stepsize=10)
    lr(35)
    assert lr.current_step == 3
    lr = rate(lr_policy="multistep", gamma=0.5, stepvalue=[5, 7])
    lr.current_step = 2
    assert lr(8) == 0.125 and lr.current_step == 2


def test_no_overflow():
    lr = rate(lr_policy="sigmoid", gamma=1, stepsize=100000)
    assert 0 <= lr(0) < 1e-300
    assert rate(lr_policy="sigmoid", gamma=1, stepsize=1)(100000) == 0.5


def test_poly_after_its_end():
    assert rate(lr_policy="poly", power=0.5, max_iter=50)(60) == 0


@pytest.mark.parametrize("fields, message", [
    (dict(), "lr_policy is missing: known are .*fixed.*sigmoid"),
    (dict(lr_policy="mulistep"), "unknown lr_policy 'mulistep': did you mean 'multistep'"),
    (dict(lr_policy="?"), "unknown lr_policy '\\?': known are .*step"),
    (dict(lr_policy="step", gamma=0.1), "lr_policy 'step' needs stepsize"),
    (dict(lr_policy="step", stepsize=5), "lr_policy 'step' needs gamma"),
    (dict(lr_policy="step", gamma=0.1, stepsize=0), "stepsize must be positive, not 0"),
    (dict(lr_policy="exp"), "lr_policy 'exp' needs gamma"),
    (dict(lr_policy="inv", gamma=1), "lr_policy 'inv' needs power"),
    (dict(lr_policy="multistep", gamma=1), "lr_policy 'multistep' needs stepvalue"),
    (dict(lr_policy="poly", power=1), "lr_policy 'poly' needs max_iter"),
    (dict(lr_policy="sigmoid", gamma=1), "lr_policy 'sigmoid' needs stepsize"),
    (dict(lr_policy="multistep", gamma=1, stepvalue=[7, 5]),
     r"stepvalue must be sorted, not \[7, 5\]")])
def test_what_is_missing_or_wrong(fields, message):
    with pytest.raises(SolverError, match="^solver.prototxt: " + message):
        rate(**fields)


def test_base_lr_is_needed():
    with pytest.raises(SolverError, match="lr_policy 'fixed' needs base_lr"):
        LearningRate(caffe_pb2.SolverParameter(lr_policy="fixed"))
