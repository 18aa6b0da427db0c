"""Reading indices, and rows by number, on every back end."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.primitives.gather import IndexReader, add_rows, take_rows

SHAPES = [((7,), (5, 3)), ((600,), (40, 2, 3)), ((10,), (1000, 300)), ((0,), (4, 2)), ((9,), (1,))]


def indices(shape, rows):
    return np.random.default_rng(0).integers(rows, size=shape)


@pytest.mark.parametrize("index_shape, shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_taken_and_added_in_order(xp, index_shape, shape, dtype):
    rng, at = np.random.default_rng(1), indices(index_shape, shape[0])
    x, rows = rng.normal(size=shape).astype(dtype), \
        rng.normal(size=index_shape + shape[1:]).astype(dtype)
    out = xp.zeros(rows.shape, dtype)
    take_rows(xp, xp.asarray(x), xp.asarray(at), out)
    assert_array_equal(to_numpy(out), x[at])
    target, expected = xp.asarray(x.copy()), x.copy()
    add_rows(xp, target, xp.asarray(at), xp.asarray(rows))
    for i, row in zip(at, rows):                           # in this order: to the last bit
        expected[i] += row
    assert_array_equal(to_numpy(target), expected)


def read(xp, values, limit, **options):
    """The integers, once looked at; ValueError tells of a wrong one."""
    values = np.asarray(values, float)
    reader = IndexReader(xp, "index {} at {}", ValueError, **options)
    reader.expect(values.shape, limit)
    result, _ = reader.read(xp.asarray(values))
    reader.check()
    return to_numpy(result)


@pytest.mark.parametrize("shape", [(), (5,), (20, 30), (0,)])
def test_indices_of_any_shape(xp, shape):
    values = indices(shape, 50)
    result = read(xp, values, 50)
    assert result.dtype == np.int64
    assert_array_equal(result, values)


@pytest.mark.parametrize("wrong", [50, -1, 0.5, np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("place", [(0, 0), (7, 28), (19, 29)])
def test_the_first_wrong_index_is_named(xp, wrong, place):
    values = indices((20, 30), 50).astype(float)
    values[place] = values[-1, -1] = wrong
    row, column = place
    with pytest.raises(ValueError) as caught:
        read(xp, values, 50)
    assert str(caught.value) == (f"index {wrong:.9g} at ({row}, {column}) is not a whole number "
                                 "from 0 to 49")


def test_a_wrong_index_without_axes(xp):
    with pytest.raises(ValueError, match=r"index 3 at \(\) is not a whole number from 0 to 2"):
        read(xp, 3, 3)


@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
def test_on_a_device_the_first_is_kept_until_it_is_looked_at(xp):
    reader = IndexReader(xp, "index {} at {}", ValueError)
    reader.expect((3,), 4)
    for values in [0, 9, 0], [8, 0, 0], [0, 0, 0]:
        reader.read(xp.asarray(values, float))
    with pytest.raises(ValueError, match=r"index 9 at \(1,\)"):
        reader.check()
    reader.check()


def test_an_ignored_label_does_not_count(xp):
    if xp is not np:
        pytest.skip("on a device losses read labels in kernels of their own")
    reader = IndexReader(xp, "label {} at index {}", ValueError, ignore_label=255)
    reader.expect((3,), 4)
    labels, valid = reader.read(np.array([1, 255, 3.0]))
    assert labels.tolist() == [1, 0, 3] and valid.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="label 254 at index .* or the ignore_label 255"):
        reader.read(np.array([1, 254, 3.0]))
