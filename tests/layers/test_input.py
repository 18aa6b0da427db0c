import functools

import numpy as np
import pytest
from helpers import make_layer
from numpy.testing import assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

make_input = functools.partial(make_layer, "Input", [])
make_dummy = functools.partial(make_layer, "DummyData", [])


def shapes(*tuples):
    return [{"dim": shape} for shape in tuples]


@pytest.mark.parametrize("given, expected", [
    ([(2, 3)], [(2, 3)] * 3), ([(2, 3), (4,), ()], [(2, 3), (4,), ()]), ([], [()] * 3)])
def test_input_shapes(xp, given, expected):
    layer, _, top = make_input(xp=xp, num_top=3, shape=shapes(*given))
    assert [t.shape for t in top] == expected


def test_input_leaves_the_blobs_to_the_user(xp):
    layer, bottom, top = make_input(xp=xp, shape=shapes((2, 3)))
    top[0].reshape(4, 5)
    top[0].data[...] = 7
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    layer.backward(top, [], bottom)
    assert top[0].shape == (4, 5) and (to_numpy(top[0].data) == 7).all()


def test_input_shapes_must_match_the_tops():
    with pytest.raises(LayerError, match="Input.*shape is given 2 times for 3 tops: give it once"):
        make_input(num_top=3, shape=shapes((2,), (3,)))


@pytest.mark.parametrize("fields", [
    {"shape": shapes((2, 3, 4, 5), (6, 3, 4, 5))},
    {"num": [2, 6], "channels": [3], "height": [4], "width": [5]},
    {"num": [2, 6], "channels": [3, 3], "height": [4, 4], "width": [5, 5]}])
def test_dummy_data_shapes(xp, fields):
    layer, bottom, top = make_dummy(xp=xp, num_top=2, **fields)
    layer.forward(bottom, top)
    assert [t.shape for t in top] == [(2, 3, 4, 5), (6, 3, 4, 5)]
    assert (to_numpy(top[0].data) == 0).all()


def test_dummy_data_draws_anew_what_is_random_and_fills_constants_once(xp):
    layer, bottom, top = make_dummy(
        xp=xp, num_top=2, shape=shapes((50, 20)),
        data_filler=[{"type": "constant", "value": 3}, {"type": "gaussian", "mean": 5, "std": 2}])
    layer.forward(bottom, top)
    first = to_numpy(top[1].data).copy()
    assert (to_numpy(top[0].data) == 3).all()
    assert abs(first.mean() - 5) < 0.3 and abs(first.std() - 2) < 0.2
    top[0].data[...] = 8
    layer.forward(bottom, top)
    assert (to_numpy(top[0].data) == 8).all()             # Caffe does not write it again
    assert (to_numpy(top[1].data) != first).all()


def test_dummy_data_one_filler_for_all_tops_and_a_seed_repeats(xp):
    options = dict(xp=xp, num_top=2, shape=shapes((4, 5)), data_filler=[{"type": "uniform"}])
    (a, _, first), (b, _, second) = make_dummy(**options), make_dummy(**options)
    a.forward([], first)
    b.forward([], second)
    for one, other in zip(first, second):
        assert_array_equal(to_numpy(one.data), to_numpy(other.data))
    assert np.ptp(to_numpy(first[1].data)) > 0.5


@pytest.mark.parametrize("fields, message", [
    ({"shape": shapes((2,), (3,))}, "shape is given 2 times for 3 tops"),
    ({"shape": shapes((2,)), "num": [1]}, "give shape or num, channels, height and width"),
    ({"num": [1], "channels": [1], "height": [1]}, "width is given 0 times for 3 tops"),
    ({"shape": shapes((2,)), "data_filler": [{}, {}]}, "data_filler is given 2 times for 3 tops"),
    ({"shape": shapes((2,)), "data_filler": [{"type": "gausian"}]}, "did you mean 'gaussian'"),
    ({}, "num is given 0 times for 3 tops")])
def test_dummy_data_fields_that_do_not_fit(fields, message):
    with pytest.raises(LayerError, match="DummyData.*" + message):
        make_dummy(num_top=3, **fields)
