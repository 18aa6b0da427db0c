import functools

import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

make = functools.partial(make_layer, "Eltwise")
SHAPE = (2, 3, 4)
CASES = [({"operation": "PROD"}, lambda *x: np.prod(x, axis=0)),
         ({"operation": "PROD", "stable_prod_grad": False}, lambda *x: np.prod(x, axis=0)),
         ({}, lambda *x: np.sum(x, axis=0)),
         ({"operation": "MAX"}, lambda *x: np.max(x, axis=0))]


@pytest.mark.parametrize("fields, expected", CASES)
@pytest.mark.parametrize("number", [2, 3, 5])
class TestEltwise:
    def test_forward(self, xp, fields, expected, number):
        layer, bottom, top = make([SHAPE] * number, xp=xp, **fields)
        layer.forward(bottom, top)
        assert_allclose(to_numpy(top[0].data), expected(*[to_numpy(b.data) for b in bottom]),
                        rtol=1e-13)

    def test_gradient(self, xp, fields, expected, number):
        assert len(check_gradient(*make([SHAPE] * number, xp=xp, **fields))) == number

    def test_only_the_bottoms_asked_for_get_a_gradient(self, xp, fields, expected, number):
        layer, bottom, top = make([SHAPE] * number, xp=xp, **fields)
        every = backward_once(layer, bottom, top)
        last = backward_once(layer, bottom, top, [False] * (number - 1) + [True])
        assert_array_equal(last[-1], every[-1])
        assert np.isnan(to_numpy(bottom[0].diff)).all()


@pytest.mark.parametrize("coeff", [[1, -1], [0.5, 2, -1.5], [-3, 1, 1]])
def test_sum_with_coefficients(xp, coeff):
    layer, bottom, top = make([SHAPE] * len(coeff), xp=xp, coeff=coeff)
    layer.forward(bottom, top)
    expected = sum(a * to_numpy(b.data) for a, b in zip(coeff, bottom))
    assert_allclose(to_numpy(top[0].data), expected, rtol=1e-12, atol=1e-14)
    check_gradient(layer, bottom, top)


def winners(values, xp):
    """Which bottoms the gradient of MAX goes to, for single numbers."""
    layer, bottom, top = make([(1,)] * len(values), xp=xp, operation="MAX",
                              values={i: [v] for i, v in enumerate(values)})
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [True] * len(values), bottom)
    return [i for i, b in enumerate(bottom) if to_numpy(b.diff)[0]]


@pytest.mark.parametrize("values, winner", [([2, 2], 1), ([2, 2, 2], 1), ([1, 2, 2], 1),
                                            ([2, 1, 2], 0), ([1, 1, 2], 2), ([3, 1, 2], 0)])
def test_ties_of_the_maximum_go_where_caffe_sends_them(xp, values, winner):
    assert winners(values, xp) == [winner]


def test_stable_product_gradient_survives_zeros(xp):
    zeros = {"values": {0: np.zeros(SHAPE)}, "operation": "PROD"}
    check_gradient(*make([SHAPE] * 3, xp=xp, **zeros))
    with np.errstate(invalid="ignore"):
        unstable = backward_once(*make([SHAPE] * 3, xp=xp, stable_prod_grad=False, **zeros))
    assert np.isnan(unstable[0]).all()


def test_bottoms_may_change_their_shape(xp):
    for fields, _ in CASES:
        layer, bottom, top = make([SHAPE] * 3, xp=xp, **fields)
        layer.forward(bottom, top)
        for i, b in enumerate(bottom):
            b.reshape(5, 6)
            b.data[...] = np.random.default_rng(i).normal(size=(5, 6))
        layer.reshape(bottom, top)
        check_gradient(layer, bottom, top)


@pytest.mark.parametrize("shapes, fields, message", [
    ([(2, 3), (3, 2)], {}, r"bottom 1 has the shape \(3, 2\), bottom 0 \(2, 3\)"),
    ([(2, 3), (2, 3)], {"coeff": [1, 2, 3]}, "coeff is given 3 times for 2 bottoms"),
    ([(2, 3), (2, 3)], {"coeff": [1, 2], "operation": "PROD"}, "coeff is for operation: SUM only"),
    ([(2, 3)], {}, r"takes at least 2 bottom blob\(s\), the file gives 1")])
def test_bottoms_that_do_not_fit(shapes, fields, message):
    with pytest.raises(LayerError, match="Eltwise.*" + message):
        make(shapes, **fields)


def test_in_place_is_refused():
    with pytest.raises(LayerError, match="Eltwise.*in place"):
        make([SHAPE] * 2, in_place=True)
