import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import Error, LayerError

SHAPE = (2, 3, 5, 4)


def reshape_layer(dims, shape=SHAPE, xp=None, in_place=False, **fields):
    return make_layer("Reshape", shape, xp=xp, in_place=in_place, shape={"dim": dims}, **fields)


class TestFlatten:
    @pytest.mark.parametrize("fields, expected", [
        ({}, (2, 60)), ({"axis": 2}, (2, 3, 20)), ({"axis": 0, "end_axis": -2}, (30, 4)),
        ({"axis": 1, "end_axis": 1}, SHAPE), ({"axis": -1}, SHAPE)])
    def test_shape_values_and_gradient(self, xp, fields, expected):
        layer, bottom, top = make_layer("Flatten", SHAPE, xp=xp, **fields)
        layer.forward(bottom, top)
        assert_array_equal(to_numpy(top[0].data), to_numpy(bottom[0].data).reshape(expected))
        check_gradient(layer, bottom, top)

    def test_axis_after_end_axis(self):
        with pytest.raises(LayerError, match=r"axis 2 comes after end_axis 1 .*\(2, 3, 5, 4\)"):
            make_layer("Flatten", SHAPE, axis=2, end_axis=1)

    def test_axis_must_exist(self):
        with pytest.raises(Error, match="axis 4 does not exist"):
            make_layer("Flatten", SHAPE, axis=4)


class TestReshape:
    @pytest.mark.parametrize("dims, fields, expected", [
        ([0, -1], {}, (2, 60)), ([-1], {}, (120,)), ([0, 0, 20], {}, (2, 3, 20)),
        ([6, 5, 4], {}, (6, 5, 4)), ([1], {"axis": 1, "num_axes": 0}, (2, 1, 3, 5, 4)),
        ([1, 1], {"axis": -1}, SHAPE + (1, 1)), ([2, -1], {"axis": -2}, (2, 3, 5, 2, 2)),
        ([5, 3], {"axis": 1, "num_axes": 2}, (2, 5, 3, 4)), ([0, 4, 5], {"axis": 1}, (2, 3, 4, 5))])
    def test_shape_values_and_gradient(self, xp, dims, fields, expected):
        layer, bottom, top = reshape_layer(dims, xp=xp, **fields)
        layer.forward(bottom, top)
        assert_array_equal(to_numpy(top[0].data), to_numpy(bottom[0].data).reshape(expected))
        check_gradient(layer, bottom, top)

    def test_to_no_axes_at_all(self, xp):
        layer, bottom, top = reshape_layer([], (1, 1), xp=xp)
        assert top[0].shape == ()

    @pytest.mark.parametrize("dims, fields, message", [
        ([7, -1], {}, r"can't become \[7, -1\]: its size is not a multiple of 7"),
        ([2, 3], {}, r"\(2, 3, 5, 4\) \(120 numbers\) can't become \[2, 3\] \(6 numbers\)"),
        ([-1, -1], {}, r"shape \[-1, -1\] may hold one -1 and no other negative size"),
        ([-2], {}, r"shape \[-2\] may hold one -1"),
        ([0, 0, 0, 0, 0], {}, "has a 0 for axis 4, which a bottom of shape"),
        ([-1], {"axis": 5}, "axis 5 is not one of a bottom of shape"),
        ([-1], {"axis": -6}, "axis -6 is not one of a bottom of shape"),
        ([-1], {"axis": 2, "num_axes": 3}, "num_axes 3 from axis 2 on does not fit"),
        ([-1], {"num_axes": -2}, "num_axes -2 from axis 0 on does not fit")])
    def test_shapes_that_do_not_fit(self, dims, fields, message):
        with pytest.raises(LayerError, match=message):
            reshape_layer(dims, **fields)


@pytest.mark.parametrize("make", [lambda **options: make_layer("Flatten", SHAPE, **options),
                                  lambda **options: reshape_layer([0, -1], **options)])
class TestView:
    def test_memory_is_the_bottoms_own_also_after_it_moved(self, xp, make):
        layer, bottom, top = make(xp=xp)
        for shape in (SHAPE, (7, 3, 5, 4), (1, 3, 5, 4)):
            bottom[0].reshape(shape)
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
            bottom[0].data[...], bottom[0].diff[...] = 3, 4
            assert top[0].shape == (shape[0], 60)
            assert (to_numpy(top[0].data) == 3).all() and (to_numpy(top[0].diff) == 4).all()

    def test_in_place_is_refused(self, make):
        with pytest.raises(LayerError, match="in place"):
            make(in_place=True)


class TestSplit:
    @pytest.mark.parametrize("num_top", [1, 2, 3, 5])
    def test_values_and_gradient(self, xp, num_top):
        layer, bottom, top = make_layer("Split", SHAPE, xp=xp, num_top=num_top)
        layer.forward(bottom, top)
        for t in top:
            assert_array_equal(to_numpy(t.data), to_numpy(bottom[0].data))
        check_gradient(layer, bottom, top)

    def test_data_is_shared_and_diffs_are_not(self, xp):
        layer, bottom, top = make_layer("Split", SHAPE, xp=xp, num_top=2)
        layer.forward(bottom, top)
        bottom[0].data[...] = 3
        assert (to_numpy(top[1].data) == 3).all()
        top[0].diff[...], top[1].diff[...] = 1, 2
        layer.backward(top, [False], bottom)
        assert (to_numpy(bottom[0].diff) == 0).all()
        layer.backward(top, [True], bottom)
        layer.backward(top, [True], bottom)
        assert (to_numpy(bottom[0].diff) == 3).all() and (to_numpy(top[0].diff) == 1).all()

    def test_in_place_is_refused(self):
        with pytest.raises(LayerError, match="Split.*in place"):
            make_layer("Split", SHAPE, num_top=2, in_place=True)


CONCAT = [({}, [(2, 3, 4), (2, 1, 4), (2, 2, 4)], 1), ({"axis": 0}, [(2, 3), (5, 3)], 0),
          ({"axis": -1}, [(2, 3), (2, 4)], 1), ({"concat_dim": 2}, [(2, 3, 1), (2, 3, 2)], 2),
          ({}, [(2, 3)], 1)]


class TestConcat:
    @pytest.mark.parametrize("fields, shapes, axis", CONCAT)
    def test_values_and_gradient(self, xp, fields, shapes, axis):
        layer, bottom, top = make_layer("Concat", shapes, xp=xp, **fields)
        layer.forward(bottom, top)
        expected = np.concatenate([to_numpy(b.data) for b in bottom], axis)
        assert_array_equal(to_numpy(top[0].data), expected)
        check_gradient(layer, bottom, top)

    def test_only_the_bottoms_asked_for_get_a_gradient(self, xp):
        layer, bottom, top = make_layer("Concat", [(2, 3), (2, 1)], xp=xp)
        both = backward_once(layer, bottom, top)
        one = backward_once(layer, bottom, top, [False, True])
        assert_array_equal(one[1], both[1])
        assert np.isnan(to_numpy(bottom[0].diff)).all()

    @pytest.mark.parametrize("fields, shapes, message", [
        ({}, [(2, 3), (3, 3)], r"bottom 1 of shape \(3, 3\) does not fit bottom 0 .*only axis 1"),
        ({}, [(2, 3), (2, 3, 1)], "bottom 1 of shape"),
        ({"axis": 1, "concat_dim": 1}, [(2, 3)], "give axis or concat_dim, not both")])
    def test_bottoms_that_do_not_fit(self, fields, shapes, message):
        with pytest.raises(LayerError, match="Concat.*" + message):
            make_layer("Concat", shapes, **fields)


SLICE = [({}, (2, 6, 4), [(2, 2, 4)] * 3), ({"axis": 0}, (6, 3), [(2, 3)] * 3),
         ({"slice_point": [1, 4]}, (2, 6, 4), [(2, 1, 4), (2, 3, 4), (2, 2, 4)]),
         ({"slice_dim": 2, "slice_point": [3]}, (2, 3, 4), [(2, 3, 3), (2, 3, 1)]),
         ({"axis": -1}, (2, 4), [(2, 4)])]


class TestSlice:
    @pytest.mark.parametrize("fields, shape, expected", SLICE)
    def test_values_and_gradient(self, xp, fields, shape, expected):
        layer, bottom, top = make_layer("Slice", shape, xp=xp, num_top=len(expected), **fields)
        layer.forward(bottom, top)
        assert [t.shape for t in top] == expected
        joined = np.concatenate([to_numpy(t.data) for t in top], axis=layer.axis)
        assert_array_equal(joined, to_numpy(bottom[0].data))
        check_gradient(layer, bottom, top)

    def test_no_gradient_unless_asked(self, xp):
        layer, bottom, top = make_layer("Slice", (2, 6), xp=xp, num_top=2)
        backward_once(layer, bottom, top, [False])
        assert np.isnan(to_numpy(bottom[0].diff)).all()

    @pytest.mark.parametrize("num_top, fields, message", [
        (4, {}, "size 6 of axis 1 is not a multiple of the number of tops 4: give slice_point"),
        (3, {"slice_point": [2]}, "3 tops need 2 slice_point, not 1"),
        (3, {"slice_point": [4, 2]}, r"slice_point \[4, 2\] must rise"),
        (2, {"slice_point": [0]}, r"slice_point \[0\] must rise"),
        (2, {"slice_point": [6]}, r"slice_point \[6\] must rise, between 1 and size 6 of axis 1"),
        (2, {"axis": 1, "slice_dim": 1}, "give axis or slice_dim, not both")])
    def test_points_that_do_not_fit(self, num_top, fields, message):
        with pytest.raises(LayerError, match="Slice.*" + message):
            make_layer("Slice", (2, 6), num_top=num_top, **fields)


def test_silence_zeroes_the_gradients_asked_for(xp):
    layer, bottom, top = make_layer("Silence", [(2, 3), (4,)], xp=xp, num_top=0)
    zeros, nothing = backward_once(layer, bottom, top, [True, False])
    assert_array_equal(zeros, np.zeros((2, 3)))
    assert nothing is None and np.isnan(to_numpy(bottom[1].diff)).all()


def test_silence_has_no_tops():
    with pytest.raises(LayerError, match=r"takes 0 top blob\(s\), the file gives 1"):
        make_layer("Silence", (2, 3), num_top=1)
