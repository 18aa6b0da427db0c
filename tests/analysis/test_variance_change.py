"""Both terms of Eq. 4 against the change that a step really makes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from solver_helpers import gradient, make_solver

from minicaffe.analysis.variance_change import VarianceChange
from minicaffe.errors import Error


def test_terms_add_up_to_the_change_of_a_plain_step():
    solver = make_solver()
    change = VarianceChange(solver, "c")
    w, b = (blob.data.copy() for blob in solver.net.params["c"])
    solver.step(1)
    _, dw, _ = gradient(w, b, 0)
    rows = change.as_dict()
    assert_allclose(rows["gradient_term"], [0.25 * dw.var()], rtol=1e-12)
    assert_allclose(rows["covariance_term"], [-np.cov(w.ravel(), dw.ravel(), ddof=0)[0, 1]],
                    rtol=1e-9)
    solver.step(4)
    rows = change.as_dict()
    assert list(rows["iterations"]) == [0, 1, 2, 3, 4]
    assert_allclose(rows["variance"][0], w.var(), rtol=1e-12)
    assert_allclose(rows["gradient_term"] + rows["covariance_term"], rows["measured"], rtol=1e-7)
    assert_allclose(rows["variance"][1:], rows["variance"][:-1] + rows["measured"][:-1], rtol=1e-12)


def test_the_layers_own_rate_and_iter_size_count():
    """Two passes an iteration and twice the rate: still the sum."""
    source = make_solver().net
    assert source.params_lr == [1, 2]
    solver = make_solver(iter_size=2)
    change = VarianceChange(solver, "c")
    solver.net._learnable.lr_mults[0] = 3.0
    solver.step(1)
    rows = change.as_dict()
    assert_allclose(rows["gradient_term"] + rows["covariance_term"], rows["measured"], rtol=1e-7)


def test_momentum_is_in_what_is_measured_only():
    solver = make_solver(momentum=0.9)
    change = VarianceChange(solver, "c")
    solver.step(3)
    rows = change.as_dict()
    total = rows["gradient_term"] + rows["covariance_term"]
    assert_allclose(total[0], rows["measured"][0], rtol=1e-7)
    assert abs(total[2] - rows["measured"][2]) > 0.1 * abs(total[2])


def test_every_and_going_on():
    solver = make_solver()
    change = VarianceChange(solver, "c", every=2)
    solver.step(5)
    assert list(change.as_dict()["iterations"]) == [0, 2, 4]
    later = VarianceChange(solver, "c", every=2)
    later.take_over(change.as_dict())
    change.solver.callbacks.remove((change._finish, change._measure))
    solver.step(3)
    rows = later.as_dict()
    assert list(rows["iterations"]) == [0, 2, 4, 6]
    assert rows["iterations"].dtype == np.int64 and len(rows["measured"]) == 4


def test_no_step_no_rows():
    rows = VarianceChange(make_solver(), "c").as_dict()
    assert all(len(values) == 0 for values in rows.values())


def test_errors():
    with pytest.raises(Error, match=r"layer 'd' has no learnable parameter of its own; known are "
                                    r"c\[0\], c\[1\]"):
        VarianceChange(make_solver(), "d")
    with pytest.raises(Error, match="every must be at least 1, not 0"):
        VarianceChange(make_solver(), "c", every=0)
