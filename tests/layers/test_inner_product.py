import functools

import numpy as np
import pytest
from helpers import backward_once, check_gradient, check_only_what_is_asked, make_layer
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.errors import Error, LayerError

make = functools.partial(make_layer, "InnerProduct")


@pytest.mark.parametrize("shape, axis", [((4, 6), 1), ((3, 2, 2, 3), 1), ((2, 3, 6), -1),
                                         ((2, 3, 4), 2), ((5,), 0), ((2, 3), 0)])
@pytest.mark.parametrize("bias_term", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
class TestInnerProduct:
    def test_forward(self, xp, shape, axis, bias_term, transpose):
        layer, bottom, top = make(shape, xp=xp, axis=axis, num_output=5, bias_term=bias_term,
                                  transpose=transpose)
        layer.forward(bottom, top)
        w = to_numpy(layer.blobs[0].data)
        w = w.T if transpose else w
        x = to_numpy(bottom[0].data).reshape(-1, w.shape[1])
        expected = np.array([[sum(a * b for a, b in zip(row, unit)) for unit in w] for row in x])
        if bias_term:
            expected += to_numpy(layer.blobs[1].data)
        assert top[0].shape == shape[:axis] + (5,)
        assert_allclose(to_numpy(top[0].data).reshape(expected.shape), expected, rtol=1e-12,
                        atol=1e-14)

    def test_gradient(self, xp, shape, axis, bias_term, transpose):
        results = check_gradient(*make(shape, xp=xp, axis=axis, num_output=5, bias_term=bias_term,
                                       transpose=transpose))
        assert len(results) == 2 + bias_term

    def test_parameter_diffs_add_up_and_bottom_diffs_do_not(self, xp, shape, axis, bias_term,
                                                            transpose):
        layer, bottom, top = make(shape, xp=xp, axis=axis, num_output=5, bias_term=bias_term,
                                  transpose=transpose)
        first, second = [backward_once(layer, bottom, top) for _ in range(2)]
        for once, twice, factor in zip(first, second, (1, 2, 2)):
            assert_allclose(twice, factor * once, rtol=1e-12)


@pytest.mark.parametrize("M, K, N", [(64, 800, 500), (500, 800, 10), (3, 2000, 1000)])
@pytest.mark.parametrize("transpose", [True, False])
def test_products_that_threads_share(xp, M, K, N, transpose):
    layer, bottom, top = make((M, K), xp=xp, num_output=N, transpose=transpose)
    dx, dw, dc = backward_once(layer, bottom, top)
    w, c = (to_numpy(b.data) for b in layer.blobs)
    w = w.T if transpose else w
    x, dy = to_numpy(bottom[0].data), to_numpy(top[0].diff)
    assert_allclose(to_numpy(top[0].data), x @ w.T + c, rtol=1e-10, atol=1e-10)
    assert_allclose(dx, dy @ w, rtol=1e-10, atol=1e-10)
    assert_allclose(dw, x.T @ dy if transpose else dy.T @ x, rtol=1e-10, atol=1e-10)
    assert_allclose(dc, dy.sum(axis=0), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("propagate_down", [True, False])
def test_only_what_is_asked_for_is_computed(xp, flags, propagate_down):
    layer, bottom, top = make((4, 6), xp=xp, num_output=5)
    check_only_what_is_asked(layer, bottom, top, flags, propagate_down)


def test_batch_may_change_its_size(xp):
    layer, bottom, top = make((4, 6), xp=xp, num_output=5)
    layer.forward(bottom, top)
    for shape in ((2, 6), (9, 3, 2)):
        bottom[0].reshape(shape)
        bottom[0].data[...] = np.random.default_rng(1).normal(size=shape)
        layer.reshape(bottom, top)
        check_gradient(layer, bottom, top)
        assert top[0].shape == (shape[0], 5)


def test_sizes_that_do_not_fit():
    with pytest.raises(LayerError, match="num_output 0 and bottom size 6 must be positive"):
        make((4, 6), num_output=0)
    with pytest.raises(Error, match="axis 2 does not exist"):
        make((4, 6), num_output=5, axis=2)
    layer, bottom, top = make((4, 6), num_output=5)
    bottom[0].reshape(4, 7)
    with pytest.raises(LayerError, match=r"bottom size 7 does not fit weights \(5, 6\)"):
        layer.reshape(bottom, top)
