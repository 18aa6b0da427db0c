import numpy as np
import pytest
from numpy.testing import assert_array_equal
from stand_in import state

from minicaffe import Blob, backend, to_numpy
from minicaffe.errors import Error


def filled(*shape, dtype=np.float32):
    blob = Blob(shape, dtype)
    blob.data[...] = np.arange(1, blob.size + 1).reshape(shape)
    return blob


# ---- shape

@pytest.mark.parametrize("args", [(2, 3), ((2, 3),), ([2, 3],), (np.array([2, 3]),)])
def test_reshape_takes_sizes_or_one_sequence(args):
    blob = Blob()
    blob.reshape(*args)
    assert blob.shape == (2, 3) and blob.size == 6 and blob.num_axes == 2
    assert all(type(d) is int for d in blob.shape)


def test_a_new_blob_is_one_number_and_zero():
    blob = Blob()
    assert blob.shape == () and blob.size == 1 and blob.data.shape == ()
    assert blob.data == 0 and blob.diff == 0


def test_count():
    blob = Blob((2, 3, 4))
    assert blob.count() == 24 and blob.count(1) == 12 and blob.count(1, 2) == 3
    assert blob.count(3) == 1 and blob.count(0, 0) == 1


def test_count_is_a_number_too_as_in_pycaffe():
    blob = Blob((2, 3, 4))
    assert blob.count == 24 and blob.count != Blob((2, 3)).count and blob.count / blob.num == 12
    assert f"{blob.count}" == "24" and np.zeros(blob.count).size == 24
    blob.reshape(5, 2)
    assert blob.count == 10


@pytest.mark.parametrize("axis, expected", [(0, 0), (2, 2), (-1, 2), (-3, 0)])
def test_canonical_axis(axis, expected):
    assert Blob((2, 3, 4)).canonical_axis(axis) == expected


@pytest.mark.parametrize("axis", [3, -4])
def test_axes_that_are_not_there(axis):
    with pytest.raises(Error, match=rf"axis {axis} does not exist in a blob of shape \(2, 3, 4\)"):
        Blob((2, 3, 4)).canonical_axis(axis)


def test_legacy_axes():
    blob = Blob((2, 3))
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 1, 1)
    with pytest.raises(Error, match="at most 4 axes"):
        Blob((1, 2, 3, 4, 5)).num


def test_negative_sizes():
    with pytest.raises(Error, match=r"can't have the shape \(2, -1\)"):
        Blob((2, -1))


def test_an_empty_blob():
    blob = Blob((0, 3))
    assert blob.data.shape == (0, 3) and blob.diff.shape == (0, 3)


# ---- arrays

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    blob = Blob((2, 2), dtype)
    assert blob.data.dtype == blob.diff.dtype == dtype
    blob.data = np.ones((2, 2), np.float64)
    assert blob.data.dtype == dtype


def test_assignment_copies_into_the_same_memory():
    blob = filled(2, 3)
    data, values = blob.data, np.full((2, 3), 7.0)
    blob.data = values
    values[0, 0] = 8
    assert blob.data is data and (data == 7).all()
    blob.data += 1
    blob.diff -= 2
    assert (data == 8).all() and (blob.diff == -2).all()


def test_arrays_are_contiguous_and_the_same_at_each_look():
    blob = Blob((3, 4))
    assert blob.data is blob.data and blob.diff is blob.diff
    assert blob.data.flags.c_contiguous
    assert not np.shares_memory(blob.data, blob.diff)


def test_diff_takes_no_memory_before_it_is_asked_for():
    blob = filled(2, 3)
    assert blob._diff is None
    assert not blob.diff.any() and blob._diff is not None


def test_a_smaller_shape_keeps_the_memory():
    blob = filled(4, 3)
    memory = blob.data
    blob.reshape(2, 2)
    assert np.shares_memory(memory, blob.data)
    assert_array_equal(blob.data, [[1, 2], [3, 4]])
    blob.reshape(4, 3)
    assert_array_equal(blob.data, memory)


def test_a_larger_shape_is_new_and_zero():
    blob = filled(2)
    blob.reshape(100)
    assert not blob.data.any()


# ---- sharing

def test_sharing_data_and_diff():
    one, other = filled(2, 3), Blob((3, 2))
    other.share_data(one)
    other.data[0, 0] = 9
    assert one.data[0, 0] == 9 and not np.shares_memory(one.diff, other.diff)
    other.share_diff(one)
    one.diff[...] = 5
    assert (other.diff == 5).all()


def test_what_can_not_be_shared():
    with pytest.raises(Error, match=r"shape \(2, 3\) \(float32\) can't share .* \(2, 2\)"):
        Blob((2, 3)).share_data(Blob((2, 2)))
    with pytest.raises(Error, match="float32.*float64"):
        Blob((2, 3)).share_diff(Blob((2, 3), np.float64))


def test_a_larger_shape_ends_the_sharing():
    one, other = filled(2), Blob((2,))
    other.share_data(one)
    other.reshape(50)
    other.data[...] = 3
    assert_array_equal(one.data, [1, 2])


# ---- mask

MASK = np.array([[True, False, True], [False, False, True]])


def test_a_mask_zeroes_the_data():
    blob = filled(2, 3)
    blob.mask = MASK
    assert_array_equal(blob.data, [[1, 0, 3], [0, 0, 6]])
    assert blob.mask.dtype == bool
    blob.mask = None
    assert blob.mask is None and blob.data[0, 0] == 1


def test_a_mask_is_a_copy():
    blob, mask = filled(2, 3), MASK.copy()
    blob.mask = mask
    mask[...] = True
    assert_array_equal(blob.mask, MASK)


def test_numbers_as_mask():
    blob = filled(2, 3)
    blob.mask = MASK.astype(np.float32)
    assert_array_equal(blob.mask, MASK)


def test_a_mask_of_another_shape():
    with pytest.raises(Error, match=r"mask of shape \(3, 2\) does not fit a blob of \(2, 3\)"):
        filled(2, 3).mask = MASK.T


def test_another_shape_ends_the_mask():
    blob = filled(2, 3)
    blob.mask = MASK
    blob.reshape(2, 3)
    assert_array_equal(blob.mask, MASK)
    blob.reshape(3, 2)
    assert blob.mask is None


def test_a_mask_belongs_to_the_memory():
    """Or a mask set through one of two layers that share a parameter would be forgotten."""
    owner, sharer = filled(2, 3), Blob((6,))
    sharer.share_data(owner)
    sharer.mask = MASK.reshape(-1)
    assert_array_equal(owner.mask, MASK)
    assert_array_equal(owner.data, [[1, 0, 3], [0, 0, 6]])
    owner.mask = None
    assert sharer.mask is None
    owner.mask = ~MASK
    assert_array_equal(sharer.mask, ~MASK.reshape(-1))


def test_the_gpu_counts_up_to_31_bits(xp):
    shape = (1 << 16, 1 << 15)
    if xp is np:
        assert Blob(shape).size == 1 << 31
    else:
        with pytest.raises(Error, match=r"a blob of shape \(65536, 32768\) has more than 2147483647"):
            Blob(shape)
        assert Blob(((1 << 31) - 1,)).size == (1 << 31) - 1


# ---- on every back end

def test_arrays_of_either_kind_are_assigned(xp):
    blob = Blob((2, 3))
    memory = blob.data
    assert backend.module_of(memory) is xp
    for values in np.arange(6.0).reshape(2, 3), xp.ones((2, 3)), [[1, 2, 3], [4, 5, 6]], 7, [1, 2, 3]:
        blob.data = blob.diff = values
        for array in blob.data, blob.diff:
            assert_array_equal(to_numpy(array), np.broadcast_to(to_numpy(values), (2, 3)))
    assert blob.data is memory


def test_a_mask_of_either_kind(xp):
    for mask in MASK, xp.asarray(MASK):
        blob = Blob((2, 3))
        blob.data = [[np.nan, -2, 3], [4, np.inf, 6]]
        blob.mask = mask
        assert_array_equal(to_numpy(blob.data)[~MASK], 0)
        assert not np.signbit(to_numpy(blob.data)[~MASK]).any()
        assert backend.module_of(blob.mask) is xp
        assert_array_equal(to_numpy(blob.mask), MASK)


def test_a_mask_is_taken_over_by_a_blob_of_the_cpu(xp):
    mask = xp.asarray(MASK)
    backend.set_mode_cpu()
    blob = Blob((2, 3))
    blob.mask = mask
    assert type(blob.mask) is np.ndarray
    assert_array_equal(blob.mask, MASK)


def test_shared_memory_is_one(xp):
    owner, sharer = Blob((2, 3)), Blob((6,))
    sharer.share_data(owner)
    sharer.share_diff(owner)
    owner.data, sharer.diff = np.arange(6).reshape(2, 3), 5
    assert_array_equal(to_numpy(sharer.data), np.arange(6))
    assert_array_equal(to_numpy(owner.diff), np.full((2, 3), 5))
    owner.mask = MASK
    assert_array_equal(to_numpy(sharer.mask), MASK.reshape(-1))
    assert_array_equal(to_numpy(sharer.data)[~MASK.reshape(-1)], 0)


def test_a_mask_waits_for_nothing(xp):
    if not getattr(xp, "__version__", "").endswith("stand-in"):
        pytest.skip("only the stand-in counts")
    blob, mask = Blob((2, 3)), xp.asarray(MASK)
    state.counts.reset()
    blob.mask = mask
    assert state.counts.synchronisations == 0
