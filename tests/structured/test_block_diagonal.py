import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_array_equal

from minicaffe.errors import Error
from minicaffe.structured.block_diagonal import Group, Layout, diagonal_mask, from_dense, to_dense


@pytest.mark.parametrize("outputs, inputs", [((2, 2, 2), (3, 3, 3)), ((4,), (5,)),
                                             ((1, 3, 2), (2, 1, 4)),
                                             ((2, 2, 1, 1, 2), (1, 1, 2, 2, 1))])
class TestLayout:
    def test_to_dense_and_back(self, outputs, inputs):
        rng, layout = np.random.default_rng(0), Layout(outputs, inputs)
        blocks = [rng.normal(size=shape) for shape in zip(outputs, inputs)]
        weights = np.concatenate([block.ravel() for block in blocks])
        dense = scipy.linalg.block_diag(*blocks)
        assert layout.shape == dense.shape and layout.weights == weights.size
        assert_array_equal(to_dense(weights, layout), dense)
        dense[~diagonal_mask(layout)] = 7                # dropped
        assert_array_equal(from_dense(dense, layout), weights)

    def test_mask(self, outputs, inputs):
        blocks = [np.ones(shape) for shape in zip(outputs, inputs)]
        assert_array_equal(diagonal_mask(Layout(outputs, inputs)),
                           scipy.linalg.block_diag(*blocks) > 0)

    def test_groups_cover_all_blocks_in_order(self, outputs, inputs):
        layout = Layout(outputs, inputs)
        shapes, first = [], [0, 0, 0]
        for blocks, n, k, *place in layout.groups:
            assert place == first
            shapes += [(n, k)] * blocks
            first = [a + blocks * size for a, size in zip(first, (n, k, n * k))]
        assert shapes == list(zip(outputs, inputs))


def test_runs_of_one_shape_are_one_group():
    assert Layout((2, 2, 3, 2), (4, 4, 1, 4)).groups == [
        Group(2, 2, 4, 0, 0, 0), Group(1, 3, 1, 4, 8, 16), Group(1, 2, 4, 7, 9, 19)]
    assert len(Layout.equal(100, 500, 800).groups) == 1


def test_split_and_diagonal_are_views():
    layout = Layout((1, 2), (3, 2))
    weights, matrix = np.zeros(7), np.zeros((3, 5))
    layout.split(weights)[1][...] = 1
    layout.diagonal(matrix)[1][...] = 1
    assert_array_equal(weights, [0, 0, 0, 1, 1, 1, 1])
    assert_array_equal(matrix[1:, 3:], 1)
    assert matrix.sum() == 4


def test_sizes_that_do_not_fit():
    with pytest.raises(Error, match="num_output 500 is not a multiple of num_blocks 8"):
        Layout.equal(8, 500, 800)
    with pytest.raises(Error, match="bottom size 800 is not a multiple of num_blocks 3"):
        Layout.equal(3, 300, 800)
    with pytest.raises(Error, match="bottom size 0 must be positive"):
        Layout.equal(1, 500, 0)
    with pytest.raises(Error, match="num_output 500 is not a multiple of num_blocks 0"):
        Layout.equal(0, 500, 800)
    with pytest.raises(Error, match="2 block outputs and 1 block inputs"):
        Layout((1, 2), (3,))
    with pytest.raises(Error, match="0 block outputs and 0 block inputs"):
        Layout((), ())
    with pytest.raises(Error, match="0 outputs"):
        Layout((1, 0), (3, 3))
    layout = Layout((1, 2), (3, 2))
    with pytest.raises(Error, match=r"6 weights \(shape \(2, 3\)\) do not fit blocks that hold 7"):
        layout.split(np.zeros((2, 3)))
    with pytest.raises(Error, match=r"shape \(5, 3\) does not fit blocks of \(3, 5\)"):
        layout.diagonal(np.zeros((5, 3)))
