import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.datasets import Order


def test_file_order_wraps_around():
    order = Order(5, 3)
    assert_array_equal([order.indices(k) for k in range(4)], [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]])
    assert order.indices(0).dtype == np.int64


def test_skip_begins_later():
    assert_array_equal(Order(5, 3, skip=4).indices(0), [4, 0, 1])


@pytest.mark.parametrize("count, batch_size", [(7, 3), (6, 3), (4, 9), (1, 2)])
@pytest.mark.parametrize("skip", [0, 2])
def test_every_shuffled_epoch_is_a_permutation_of_its_own(count, batch_size, skip):
    order = Order(count, batch_size, shuffle=True, seed=3, skip=skip)
    stream = np.concatenate([order.indices(k) for k in range(5 * count)])
    stream = stream[-skip % count:]
    epochs = stream[:len(stream) // count * count].reshape(-1, count)
    assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(count), (len(epochs), 1)))
    if count > 4:
        assert len({tuple(epoch) for epoch in epochs}) > 10


def test_batch_follows_from_seed_and_number_alone():
    order = Order(11, 4, shuffle=True, seed=5)
    expected = [order.indices(k) for k in range(20)]
    for k in 17, 3, 2, 19, 0:
        assert_array_equal(Order(11, 4, shuffle=True, seed=5).indices(k), expected[k])
        assert_array_equal(order.indices(k), expected[k])
    assert not np.array_equal(Order(11, 4, shuffle=True, seed=6).indices(0), expected[0])


def test_groups_stay_together():
    order = Order(12, 12, shuffle=True, seed=1, groups=[3, 4, 5])
    group = np.repeat([0, 1, 2], [3, 4, 5])
    orders = set()
    for k in range(10):
        indices = order.indices(k)
        assert_array_equal(np.sort(indices), np.arange(12))
        owner = group[indices]
        assert np.count_nonzero(np.diff(owner)) == 2
        orders.add(tuple(dict.fromkeys(owner)))
    assert len(orders) > 2
