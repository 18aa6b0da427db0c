"""AbsVal, Power, Exp, Log, Clip, Threshold, BNLL, ELU, Swish, SiLU, GELU: entry by entry."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SHAPE = (3, 4, 5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# type, fields, formula; inputs are Gaussian numbers plus the last entry
CASES = [
    ("AbsVal", {}, np.abs, 0),
    ("Power", {}, lambda x: x, 0),
    ("Power", {"power": 2, "scale": 0.75, "shift": -1}, lambda x: (0.75 * x - 1) ** 2, 0),
    ("Power", {"power": 3}, lambda x: x ** 3, 0),
    ("Power", {"power": 0.5, "scale": 2, "shift": 1}, lambda x: np.sqrt(2 * x + 1), 6),
    ("Power", {"power": -1, "scale": 2}, lambda x: 1 / (2 * x), 6),
    ("Power", {"power": 1.5, "shift": 0.25}, lambda x: (x + 0.25) ** 1.5, 6),
    ("Power", {"power": 0, "scale": 2}, np.ones_like, 0),
    ("Power", {"power": 3, "scale": 0, "shift": 2}, lambda x: np.full_like(x, 8), 0),
    ("Exp", {}, np.exp, 0),
    ("Exp", {"base": 2, "scale": 0.5, "shift": 3}, lambda x: 2 ** (0.5 * x + 3), 0),
    ("Exp", {"base": 1}, np.ones_like, 0),
    ("Log", {}, np.log, 6),
    ("Log", {"base": 10, "scale": 0.5, "shift": 3}, lambda x: np.log10(0.5 * x + 3), 0),
    ("Clip", {"min": -0.5, "max": 0.75}, lambda x: np.minimum(np.maximum(x, -0.5), 0.75), 0),
    ("BNLL", {}, lambda x: np.log(1 + np.exp(x)), 0),
    ("ELU", {}, lambda x: np.where(x > 0, x, np.exp(x) - 1), 0),
    ("ELU", {"alpha": 0.5}, lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)), 0),
    ("ELU", {"alpha": 2}, lambda x: np.where(x > 0, x, 2 * (np.exp(x) - 1)), 0),
    ("Swish", {}, lambda x: x * sigmoid(x), 0),
    ("Swish", {"beta": 1.5}, lambda x: x * sigmoid(1.5 * x), 0),
    ("SiLU", {}, lambda x: x * sigmoid(x), 0),
    ("GELU", {}, lambda x: x * scipy.stats.norm.cdf(x), 0),
    ("GELU", {"form": "TANH"}, lambda x: 0.5 * x * (1 + np.tanh(
        math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))), 0)]


def make(case, **options):
    type_name, fields, _, offset = case
    x = np.random.default_rng(0).normal(size=options.pop("shape", SHAPE)) + offset
    return make_layer(type_name, x.shape, values={0: x}, **options, **fields)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
class TestEveryFunction:
    def test_forward(self, xp, case):
        layer, bottom, top = make(case, xp=xp)
        layer.forward(bottom, top)
        assert_allclose(to_numpy(top[0].data), case[2](to_numpy(bottom[0].data)), rtol=1e-12,
                        atol=1e-14)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_gradient(self, xp, case, in_place):
        if in_place and case[0] == "AbsVal":
            in_place = False
        results = check_gradient(*make(case, xp=xp, in_place=in_place))
        assert [r.count for r in results] == [60]

    def test_in_place_equals_two_blobs(self, xp, case):
        if case[0] == "AbsVal":
            return
        apart, together = make(case, xp=xp), make(case, xp=xp, in_place=True)
        assert_allclose(backward_once(*together)[0], backward_once(*apart)[0], rtol=1e-13, atol=1e-15)
        for layer, bottom, top in apart, together:
            layer.forward(bottom, top)
        assert_array_equal(to_numpy(together[2][0].data), to_numpy(apart[2][0].data))

    def test_bottom_is_untouched_and_its_diff_overwritten(self, xp, case):
        layer, bottom, top = make(case, xp=xp)
        before = to_numpy(bottom[0].data).copy()
        first, second = backward_once(layer, bottom, top), backward_once(layer, bottom, top)
        assert_array_equal(to_numpy(bottom[0].data), before)
        assert_array_equal(first[0], second[0])
        bottom[0].diff[...] = 5
        layer.backward(top, [False], bottom)
        assert (to_numpy(bottom[0].diff) == 5).all()

    def test_many_pieces_in_single_precision(self, xp, case):
        shape = (3, 70001)
        single, double = (make(case, xp=xp, dtype=d, shape=shape) for d in (np.float32, np.float64))
        got, expected = backward_once(*single), backward_once(*double)
        assert got[0].dtype == np.float32
        # a kink may lie between a number and its float32
        assert np.mean(abs(got[0] - expected[0]) > 1e-4 * (1 + abs(expected[0]))) < 1e-4
        for layer, bottom, top in single, double:
            layer.forward(bottom, top)
        assert_allclose(to_numpy(single[2][0].data), to_numpy(double[2][0].data), rtol=1e-4, atol=1e-5)

    def test_bottom_may_change_its_shape(self, xp, case):
        layer, bottom, top = make(case, xp=xp)
        layer.forward(bottom, top)
        bottom[0].reshape(6, 4, 5)
        bottom[0].data[...] = 1.25
        layer.reshape(bottom, top)
        check_gradient(layer, bottom, top)
        assert top[0].shape == (6, 4, 5)


def gradient_at(values, type_name, in_place=False, **fields):
    """[y, dx] with top diffs 1."""
    layer, bottom, top = make_layer(type_name, (len(values),), values={0: values},
                                    in_place=in_place, **fields)
    layer.forward(bottom, top)
    y = to_numpy(top[0].data).tolist()
    top[0].diff[...] = 1
    layer.backward(top, [True], bottom)
    return [y, to_numpy(bottom[0].diff).tolist()]


def test_gradients_at_kinks(xp):
    assert gradient_at([0.0, -2.0], "AbsVal") == [[0, 2], [0, -1]]
    assert gradient_at([0.0], "ELU", alpha=0.5) == [[0], [0.5]]
    for in_place in False, True:
        assert gradient_at([-1.5, -1, 0, 2, 2.5], "Clip", min=-1, max=2, in_place=in_place) == \
            [[-1, -1, 0, 2, 2], [0, 1, 1, 1, 0]]
    assert gradient_at([0.0], "Power", power=3) == [[0], [0]]         # Caffe's: NaN


def test_far_from_zero(xp):
    with np.errstate(over="raise", invalid="raise"):
        assert_allclose(gradient_at([-800.0, -30, 30, 800], "BNLL"),
                        [[0, np.exp(-30.0), 30 + np.exp(-30.0), 800],
                         [0, sigmoid(-30.0), sigmoid(30.0), 1]], rtol=1e-12)
        assert_allclose(gradient_at([-800.0, 800], "Swish"), [[0, 800], [0, 1]], atol=1e-12)
        assert_allclose(gradient_at([-800.0, 800], "ELU"), [[-1, 800], [0, 1]], atol=1e-12)
        assert_allclose(gradient_at([-80.0, 80], "GELU"), [[0, 80], [0, 1]], atol=1e-12)
        assert_allclose(gradient_at([-80.0, 80], "GELU", form="TANH"), [[0, 80], [0, 1]], atol=1e-12)


def test_gelu_in_float32():
    """There erf is a polynomial's: no less exact than float32's numbers near 1 are."""
    x = np.concatenate([np.linspace(-14, 14, 200001), [-1e9, -1e4, 1e4, 1e9]]).astype(np.float32)
    layer, bottom, top = make_layer("GELU", x.shape, values={0: x}, dtype=np.float32)
    with np.errstate(over="raise", invalid="raise"):
        layer.forward(bottom, top)
        top[0].diff[...] = 1
        layer.backward(top, [True], bottom)
    share, density = scipy.stats.norm.cdf(x.astype(float)), scipy.stats.norm.pdf(x.astype(float))
    assert (np.abs(top[0].data - x * share) <= 1.6e-7 * np.abs(x)).all()
    assert_allclose(bottom[0].diff, share + x * density, atol=3e-7)


@pytest.mark.parametrize("in_place", [False, True])
def test_threshold_is_strict_and_has_no_gradient(xp, in_place):
    layer, bottom, top = make_layer("Threshold", (4,), values={0: [0.25, 0.5, 0.75, -1]},
                                    in_place=in_place, threshold=0.5)
    layer.forward(bottom, top)
    assert to_numpy(top[0].data).tolist() == [0, 0, 1, 0]
    layer.backward(top, [False], bottom)
    with pytest.raises(LayerError, match="Threshold.*no gradient"):
        layer.backward(top, [True], bottom)


@pytest.mark.parametrize("type_name, fields, in_place, message", [
    ("AbsVal", {}, True, "can't be computed in place"),
    ("ELU", {"alpha": -1}, True, "alpha -1 can't be in place"),
    ("Exp", {"base": 0}, False, "base 0 is neither positive nor -1"),
    ("Exp", {"base": -2}, False, "base -2 is neither positive"),
    ("Log", {"base": 0}, False, "base 0 is neither"),
    ("Log", {"base": 1}, False, "base 1 has no logarithm"),
    ("Clip", {"min": 1, "max": -1}, False, "min 1 is larger than max -1"),
    ("Clip", {}, False, "needs min and max")])
def test_bad_input(type_name, fields, in_place, message):
    with pytest.raises(LayerError, match=rf"\({type_name}\): .*{message}"):
        make_layer(type_name, SHAPE, in_place=in_place, **fields)
