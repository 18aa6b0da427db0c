import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SHAPE = (3, 4, 5)

ALL = [("ReLU", {}), ("ReLU", {"negative_slope": 0.1}), ("ReLU", {"negative_slope": 1.5}),
       ("Sigmoid", {}), ("TanH", {}), ("Dropout", {}), ("Dropout", {"dropout_ratio": 0.2})]


@pytest.mark.parametrize("type_name, fields", ALL)
class TestEveryActivation:
    @pytest.mark.parametrize("in_place", [False, True])
    @pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
    def test_gradient(self, xp, type_name, fields, in_place, phase):
        results = check_gradient(*make_layer(type_name, SHAPE, xp=xp, in_place=in_place,
                                             phase=phase, **fields))
        assert [r.count for r in results] == [60]

    def test_in_place_equals_two_blobs(self, xp, type_name, fields):
        apart = make_layer(type_name, SHAPE, xp=xp, **fields)
        together = make_layer(type_name, SHAPE, xp=xp, in_place=True, **fields)
        expected, actual = backward_once(*apart), backward_once(*together)
        assert_array_equal(actual[0], expected[0])
        for layer, bottom, top in apart, together:
            layer.forward(bottom, top)
        assert_array_equal(to_numpy(together[2][0].data), to_numpy(apart[2][0].data))

    def test_bottom_is_untouched_and_its_diff_overwritten(self, xp, type_name, fields):
        layer, bottom, top = make_layer(type_name, SHAPE, xp=xp, phase="TEST", **fields)
        before = to_numpy(bottom[0].data).copy()
        first, second = backward_once(layer, bottom, top), backward_once(layer, bottom, top)
        assert_array_equal(to_numpy(bottom[0].data), before)
        assert_array_equal(first[0], second[0])

    def test_no_gradient_is_written_unless_asked(self, xp, type_name, fields):
        layer, bottom, top = make_layer(type_name, SHAPE, xp=xp, **fields)
        layer.forward(bottom, top)
        bottom[0].diff[...] = 5
        layer.backward(top, [False], bottom)
        assert (to_numpy(bottom[0].diff) == 5).all()

    @pytest.mark.parametrize("shape", [(2, 3), (6, 4, 5), (1, 1, 1, 1)])
    def test_bottom_may_change_its_shape(self, xp, type_name, fields, shape):
        layer, bottom, top = make_layer(type_name, SHAPE, xp=xp, phase="TEST", **fields)
        layer.forward(bottom, top)
        bottom[0].reshape(shape)
        bottom[0].data[...] = -0.5
        layer.reshape(bottom, top)
        check_gradient(layer, bottom, top)
        assert top[0].shape == shape

    def test_float32_stays_float32(self, xp, type_name, fields):
        layer, bottom, top = make_layer(type_name, SHAPE, xp=xp, dtype=np.float32, **fields)
        double = make_layer(type_name, SHAPE, xp=xp, **fields)
        single_diff, double_diff = backward_once(layer, bottom, top), backward_once(*double)
        assert single_diff[0].dtype == np.float32
        assert_allclose(single_diff[0], double_diff[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("slope", [0, 0.1, 1, 1.5, -0.3])
def test_relu_forward(xp, slope):
    layer, bottom, top = make_layer("ReLU", SHAPE, xp=xp, negative_slope=slope)
    layer.forward(bottom, top)
    x = to_numpy(bottom[0].data)
    slope = layer.param.negative_slope                   # as a float32
    assert_allclose(to_numpy(top[0].data), np.maximum(x, 0) + slope * np.minimum(x, 0), rtol=1e-15)


@pytest.mark.parametrize("slope", [0, 0.25])
def test_relu_gradient_at_zero_is_the_slope(xp, slope):
    layer, bottom, top = make_layer("ReLU", (2,), xp=xp, values={0: [0.0, -0.0]},
                                    negative_slope=slope)
    layer.forward(bottom, top)
    top[0].diff[...] = 8
    layer.backward(top, [True], bottom)
    assert to_numpy(bottom[0].diff).tolist() == [8 * slope] * 2


def test_relu_passes_nan_on(xp):
    layer, bottom, top = make_layer("ReLU", (2,), xp=xp, values={0: [np.nan, -1]})
    layer.forward(bottom, top)
    assert_array_equal(to_numpy(top[0].data), [np.nan, 0])


def test_relu_with_negative_slope_below_zero_can_not_be_in_place():
    make_layer("ReLU", SHAPE, negative_slope=-0.1)
    with pytest.raises(LayerError, match=r"\(ReLU\): negative_slope -0.1 can't be in place"):
        make_layer("ReLU", SHAPE, in_place=True, negative_slope=-0.1)


def test_sigmoid_forward(xp):
    x = np.array([-800, -30, -2, 0, 0.5, 30, 800.0])
    layer, bottom, top = make_layer("Sigmoid", (7,), xp=xp, values={0: x})
    layer.forward(bottom, top)
    expected = [0, 1 / (1 + np.exp(30)), 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-0.5)),
                1 / (1 + np.exp(-30)), 1]
    assert_allclose(to_numpy(top[0].data), expected, rtol=0, atol=1e-15)


def test_tanh_forward(xp):
    layer, bottom, top = make_layer("TanH", SHAPE, xp=xp)
    layer.forward(bottom, top)
    up, down = np.exp(to_numpy(bottom[0].data)), np.exp(-to_numpy(bottom[0].data))
    assert_allclose(to_numpy(top[0].data), (up - down) / (up + down), rtol=1e-12)


class TestDropout:
    def outputs(self, times=1, **options):
        layer, bottom, top = make_layer("Dropout", (50, 80), values={0: np.ones((50, 80))},
                                        **options)
        for _ in range(times):
            layer.forward(bottom, top)
            yield to_numpy(top[0].data).copy()

    @pytest.mark.parametrize("ratio", [0.5, 0.1, 0.8])
    def test_share_of_zeros_and_scale_of_the_rest(self, xp, ratio):
        y, = self.outputs(xp=xp, dropout_ratio=ratio)
        ratio = float(np.float32(ratio))
        assert set(np.unique(y)) == {0, 1 / (1 - ratio)}
        assert abs((y == 0).mean() - ratio) < 4 * np.sqrt(ratio * (1 - ratio) / y.size)

    def test_ratio_defaults_to_a_half_and_may_be_zero(self, xp):
        assert abs((next(self.outputs(xp=xp)) == 0).mean() - 0.5) < 0.04
        assert (next(self.outputs(xp=xp, dropout_ratio=0)) == 1).all()

    def test_every_forward_draws_anew_and_a_seed_repeats(self, xp):
        first, second = self.outputs(2, xp=xp)
        assert (first != second).mean() > 0.4
        again, _ = self.outputs(2, xp=xp)
        assert_array_equal(again, first)

    def test_both_precisions_drop_the_same(self, xp):
        single, double = next(self.outputs(dtype=np.float32)), next(self.outputs(dtype=np.float64))
        assert_array_equal(single, double)

    def test_test_phase_is_the_identity_and_draws_nothing(self, xp):
        layer, bottom, top = make_layer("Dropout", SHAPE, xp=xp, phase="TEST", dropout_ratio=0.9)
        before = layer.rng.bit_generator.state
        layer.forward(bottom, top)
        assert_array_equal(to_numpy(top[0].data), to_numpy(bottom[0].data))
        assert layer.rng.bit_generator.state == before

    @pytest.mark.parametrize("ratio", [1, 1.5, -0.1, float("nan")])
    def test_ratio_outside_0_to_1_is_refused(self, ratio):
        with pytest.raises(LayerError, match=f"Dropout.*dropout_ratio {ratio:g} is not at least 0"):
            make_layer("Dropout", SHAPE, dropout_ratio=ratio)
