import re
import time

import numpy as np
import pytest
import scipy.sparse.csgraph
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.errors import Error
from minicaffe.structured import block_diagonal
from minicaffe.structured.ramanujan import (degree_of_sparsity, find_structure, from_dense,
                                            orthogonal_values, relu_blocks, structure, to_dense,
                                            valid_degrees)

# m, n, degree, other degree
REGULAR = [(8, 8, 2, 2), (8, 16, 4, 2), (16, 8, 4, 2), (4, 8, 2, 1), (8, 4, 2, 1), (6, 9, 3, 2),
           (5, 5, 1, 1), (3, 6, 6, 3), (100, 100, 10, 10), (10, 100, 10, 1), (512, 1024, 4, 2)]
CROPPED = [(100, 1024, 110), (1024, 100, 110), (4, 11, 3), (11, 4, 4)]


def make(m, n, degree, seed=0, **options):
    return structure(m, n, degree, np.random.default_rng(seed), **options)


def blocks_by_search(mask):
    """[(rows, columns), ...] of the connected parts of the bipartite graph, by SciPy."""
    m, n = mask.shape
    whole = np.block([[np.zeros((m, m)), mask], [mask.T, np.zeros((n, n))]])
    number, part = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(whole))
    return [(np.flatnonzero(part[:m] == i), np.flatnonzero(part[m:] == i)) for i in range(number)]


def check_is_union_of_complete_graphs(mask):
    blocks = blocks_by_search(mask)
    for rows, columns in blocks:
        assert len(rows) and len(columns) and mask[np.ix_(rows, columns)].all()
    return blocks


@pytest.mark.parametrize("m, n, degree, other", REGULAR)
class TestRegular:
    def test_degrees(self, m, n, degree, other):
        mask = make(m, n, degree).mask()
        assert mask.shape == (m, n) and mask.dtype == bool
        row, column = (degree, other) if m <= n else (other, degree)
        assert_array_equal(mask.sum(axis=1), row)
        assert_array_equal(mask.sum(axis=0), column)

    def test_is_a_union_of_complete_graphs(self, m, n, degree, other):
        made = make(m, n, degree)
        blocks = check_is_union_of_complete_graphs(made.mask())
        row, column = (degree, other) if m <= n else (other, degree)
        assert len(blocks) == max(m, n) // degree
        assert {(len(r), len(c)) for r, c in blocks} == {(column, row)}
        assert made.layout.outputs == (column,) * len(blocks)
        assert made.layout.inputs == (row,) * len(blocks)

    def test_is_made_of_copies_of_one_matrix(self, m, n, degree, other):
        """M1 has n/d rows, d ones a row and one a column; the copies stand on top of each other."""
        mask = make(m, n, degree).mask()
        mask = mask if m <= n else mask.T
        first = mask[:mask.shape[1] // degree]
        assert_array_equal(first.sum(axis=1), degree)
        assert_array_equal(first.sum(axis=0), 1)
        assert_array_equal(mask, np.concatenate([first] * other))

    def test_one_permutation_decides(self, m, n, degree, other):
        rng = np.random.default_rng(3)
        structure(m, n, degree, rng)
        again = np.random.default_rng(3)
        pieces = again.permutation(max(m, n)).reshape(-1, degree)
        mask = make(m, n, degree, seed=3).mask() if m <= n else make(m, n, degree, seed=3).mask().T
        for row, piece in zip(mask, pieces):
            assert_array_equal(np.flatnonzero(row), np.sort(piece))
        assert rng.bit_generator.state == again.bit_generator.state
        assert_array_equal(make(m, n, degree, seed=3).mask(), make(m, n, degree, seed=3).mask())


def test_another_seed_gives_another_structure():
    assert (make(64, 64, 4, seed=0).mask() != make(64, 64, 4, seed=1).mask()).any()


def test_all_places_are_as_likely():
    """Of 3 x 6 with degree 2, each entry is one in a third of all draws."""
    rng = np.random.default_rng(0)
    share = np.mean([structure(3, 6, 2, rng).mask() for _ in range(4000)], axis=0)
    assert_allclose(share, 1 / 3, atol=4 * np.sqrt(2 / 9 / 4000))


ALL = [(m, n, degree, False) for m, n, degree, _ in REGULAR] + [(*c, True) for c in CROPPED]


@pytest.mark.parametrize("m, n, degree, crop", ALL)
class TestValues:
    def test_orthogonal(self, m, n, degree, crop):
        made = make(m, n, degree, crop=crop)
        weights = orthogonal_values(made, np.random.default_rng(1))
        assert weights.shape == (made.layout.weights,) and weights.dtype == np.float64
        matrix = to_dense(weights, made)
        small = matrix if m <= n else matrix.T
        assert_allclose(small @ small.T, np.eye(min(m, n)), atol=1e-12)
        assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, rtol=0, atol=1e-12)
        assert_allclose(np.linalg.svd(matrix.astype(np.float32), compute_uv=False), 1, rtol=0,
                        atol=1e-5)
        assert not matrix[~made.mask()].any() and matrix[made.mask()].all()

    def test_dense_and_back(self, m, n, degree, crop):
        made = make(m, n, degree, crop=crop)
        weights = np.arange(1, made.layout.weights + 1, dtype=np.float32)
        matrix = to_dense(weights, made)
        assert matrix.dtype == np.float32
        assert_array_equal(matrix[made.rows][:, made.columns],
                           block_diagonal.to_dense(weights, made.layout))
        matrix[~made.mask()] = 7                                 # dropped
        assert_array_equal(from_dense(matrix, made), weights)

    def test_a_mask_has_one_structure(self, m, n, degree, crop):
        made = make(m, n, degree, crop=crop)
        found = find_structure(made.mask())
        assert_array_equal(found.rows, made.rows)
        assert_array_equal(found.columns, made.columns)
        assert (found.layout.outputs, found.layout.inputs) == (made.layout.outputs,
                                                               made.layout.inputs)


def blocks_of(weights, made):
    return np.array(made.layout.split(weights))


def test_blocks_have_values_of_their_own_or_the_same():
    made = make(8, 16, 4)
    own = blocks_of(orthogonal_values(made, np.random.default_rng(0)), made)
    assert all((own[i] != own[j]).all() for i in range(4) for j in range(i))
    same = blocks_of(orthogonal_values(made, np.random.default_rng(0), same=True), made)
    assert_array_equal(same, np.broadcast_to(same[:1], (4, 2, 4)))
    assert_allclose(same[0] @ same[0].T, np.eye(2), atol=1e-12)


# ---- crop

@pytest.mark.parametrize("m, n, degree", CROPPED)
def test_crop(m, n, degree):
    """The first n columns (if m > n: rows) of a structure that fits; blocks sorted by size."""
    made = make(m, n, degree, crop=True)
    mask = made.mask() if m <= n else made.mask().T
    blocks = check_is_union_of_complete_graphs(mask)
    number = {(100, 110): 10, (4, 3): 4, (4, 4): 4}[min(m, n), degree]
    assert len(blocks) == number
    whole = make(min(m, n), number * degree, degree).mask()
    assert_array_equal(mask, whole[:, :max(m, n)])
    sizes = list(zip(made.layout.outputs, made.layout.inputs))
    assert sizes == sorted(sizes)
    assert len(made.layout.groups) == len(set(sizes))


def test_crop_of_mlp_7():
    """100 x 1100, (10, 110)-regular, cropped: columns keep their ten ones, rows lose some."""
    mask = make(100, 1024, 110, crop=True).mask()
    assert_array_equal(mask.sum(axis=0), 10)
    assert mask.mean() == 0.1 and 80 < mask.sum(axis=1).min() < mask.sum(axis=1).max() <= 110


def test_crop_changes_nothing_where_the_degree_fits():
    assert_array_equal(make(8, 16, 4, crop=True).mask(), make(8, 16, 4).mask())


def test_crop_that_leaves_too_little():
    """4 x 5 from 4 x 8 of degree 4: two blocks of 2 x 4 lose three inputs, not all of one."""
    for seed in range(30):
        mask = make(4, 5, 4, seed, crop=True).mask()
        assert sorted(mask.sum(axis=1)) == [2, 2, 3, 3]
    with pytest.raises(Error, match="degree 2 cropped to 100 x 101 leaves a block of 1 x 0"):
        make(100, 101, 2, crop=True)
    with pytest.raises(Error, match="degree 2 is too small for 4 x 11, cropped: it must be at "
                                    "least 3"):
        make(4, 11, 2, crop=True)
    with pytest.raises(Error, match="can be 1, 11"):
        make(11, 11, 12, crop=True)
    with pytest.raises(Error, match=r"blocks of different shapes \(.*10 x 1.*can't all hold"):
        orthogonal_values(make(100, 1024, 110, crop=True), np.random.default_rng(0), same=True)


# ---- degrees

def degrees_by_the_definition(m, n):
    """The larger dimension is a multiple of the degree, and the other degree is whole."""
    small, large = sorted((m, n))
    return [d for d in range(1, large + 1) if large % d == 0 and small * d % large == 0]


@pytest.mark.parametrize("m, n", [(8, 8), (8, 12), (12, 8), (100, 1024), (7, 5), (1, 6),
                                  (512, 1024)])
def test_valid_degrees(m, n):
    assert valid_degrees(m, n) == degrees_by_the_definition(m, n)


@pytest.mark.parametrize("m, n, degree", [(100, 1024, 110), (8, 12, 2), (8, 8, 3), (8, 8, 0),
                                          (8, 8, 16), (12, 8, 4)])
def test_degree_that_does_not_fit(m, n, degree):
    known = ", ".join(map(str, degrees_by_the_definition(m, n)))
    with pytest.raises(Error, match=f"degree {degree} does not fit .*sides {min(m, n)} and "
                                    f"{max(m, n)}: it can be {known}; with `crop`"):
        make(m, n, degree)


def test_empty_matrix():
    with pytest.raises(Error, match="0 x 4 is empty"):
        valid_degrees(0, 4)


@pytest.mark.parametrize("m, n, sparsity, degree", [
    (100, 100, np.float32(0.9), 10), (256, 256, 0.992, 2), (256, 256, 0.9844, 4),
    (10, 100, 0.9, 10), (8, 16, 0.75, 4), (16, 8, 0.75, 4), (8, 8, 0, 8),
    (4096, 4096, 0.99609375, 16)])
def test_degree_of_sparsity(m, n, sparsity, degree):
    assert degree_of_sparsity(m, n, sparsity) == degree
    assert abs(1 - make(m, n, degree).mask().mean() - sparsity) < 1e-3


@pytest.mark.parametrize("m, n, sparsity", [(100, 1024, 0.9), (1024, 100, 0.9), (12, 13, 11 / 12),
                                            (60, 100, 0.9333), (8, 16, 0.75)])
def test_sparsity_of_a_structure_that_is_cut(m, n, sparsity):
    degree = degree_of_sparsity(m, n, sparsity, crop=True)
    assert abs(1 - make(m, n, degree, crop=True).mask().mean() - sparsity) < 1e-3
    assert degree == -(-max(m, n) // round(1 / (1 - sparsity)))


@pytest.mark.parametrize("sparsity", [0.8, 1, -0.1, 0.749, np.nan])
def test_sparsity_that_does_not_fit(sparsity):
    with pytest.raises(Error, match=re.escape(
            f"sparsity {sparsity:g} does not fit a matrix of 8 x 16: it can be 0.875 (degree 2), "
            "0.75 (degree 4), 0.5 (degree 8), 0 (degree 16)")):
        degree_of_sparsity(8, 16, sparsity)


# ---- given masks

def test_find_structure_of_unequal_blocks():
    rng = np.random.default_rng(0)
    sizes = [(1, 3), (2, 2), (1, 3), (3, 1), (2, 2)]
    mask = block_diagonal.diagonal_mask(block_diagonal.Layout(*zip(*sizes)))
    mask = mask[rng.permutation(9)][:, rng.permutation(11)]
    found = find_structure(mask)
    assert_array_equal(found.mask(), mask)
    assert list(zip(found.layout.outputs, found.layout.inputs)) == sorted(sizes)
    assert_array_equal(find_structure(mask * -0.5).mask(), mask)


@pytest.mark.parametrize("mask, message", [
    ([[1, 0], [0, 0]], "row 1 of the mask is all zero"),
    ([[1, 0], [1, 0]], "column 1 of the mask is all zero"),
    ([[1, 1], [0, 1]], "column 1 of the mask has ones in rows that are not equal"),
    ([[1, 1], [1, 0]], "row 1 of the mask has ones in common"),
    ([[1, 1, 0], [0, 1, 1], [1, 0, 1]], "row 2 of the mask has ones in common"),
    ([1, 1], r"shape \(2,\) is not that of a matrix")])
def test_masks_without_structure(mask, message):
    with pytest.raises(Error, match=message):
        find_structure(np.array(mask))


def test_sizes_that_do_not_fit():
    made = make(8, 16, 4)
    with pytest.raises(Error, match="31 weights do not fit a structure that holds 32"):
        to_dense(np.zeros(31), made)
    with pytest.raises(Error, match=r"shape \(16, 8\) does not fit a structure of \(8, 16\)"):
        from_dense(np.zeros((16, 8)), made)


def test_large_matrices_take_no_time():
    begin = time.process_time()
    made = make(4096, 4096, 2)
    weights = orthogonal_values(made, np.random.default_rng(0))
    found = find_structure(to_dense(weights, made))
    assert_array_equal(from_dense(to_dense(weights, made), found), weights)
    assert time.process_time() - begin < 2                       # about 0.2 s


@pytest.mark.parametrize("m, n, degree, crop", [(6, 12, 4, False), (12, 6, 4, False), (5, 5, 5, False),
                                                (4, 11, 6, True), (11, 4, 6, True)])
def test_blocks_of_the_relu_form_are_those_of_its_matrix(m, n, degree, crop):
    rng = np.random.default_rng(0)
    half = structure(m, n, degree, rng, crop)
    weights = rng.normal(size=half.layout.weights)
    whole, values = relu_blocks(half, weights)
    H = to_dense(weights, half)
    assert_array_equal(to_dense(values, whole), np.block([[H, -H], [-H, H]]))
    found = find_structure(whole.mask())
    assert_array_equal(found.rows, whole.rows)
    assert_array_equal(found.columns, whole.columns)
    assert found.layout.outputs == whole.layout.outputs
