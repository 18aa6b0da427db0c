"""Pruning methods on single blobs: what they remove, against sorting by hand."""

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.blob import Blob
from minicaffe.errors import Error
from minicaffe.fillers import fill
from minicaffe.fillers.base import variance
from minicaffe.proto.caffe_pb2 import FillerParameter, PruningParameter
from minicaffe.pruning import method_class


def make(method, shape, biases=False, transposed=False, seed=0, **fields):
    """A started method on Gaussian weights of a shape, its Blobs as .weights and .biases."""
    rng = np.random.default_rng(seed)
    param = PruningParameter(method=method, **fields)
    blobs = [Blob(shape, np.float64)]
    if biases:
        blobs.append(Blob((shape[-1] if transposed else shape[0],), np.float64))
    for blob in blobs:
        blob.data = rng.normal(size=blob.shape)
    made = method_class(method)(param, blobs[0], blobs[1] if biases else None, transposed)
    made.start()
    return made


def values(blob):
    return to_numpy(blob.data).copy()


def off_diagonal(shape, b):
    """Booleans: off the b diagonal blocks, entry by entry."""
    rows, columns = shape[0] // b, shape[1] // b
    return np.array([[i // rows != j // columns for j in range(shape[1])] for i in range(shape[0])])


# ---- MAGNITUDE

@pytest.mark.parametrize("shape", [(6, 8), (4, 2, 3, 2)])
def test_magnitude_keeps_the_largest_entries(xp, shape):
    m = make("MAGNITUDE", shape, target=7)
    before = values(m.weights)
    m.prune(1.0, 0.1)
    kept = np.sort(abs(before).ravel())[-7:]
    expected = np.where(abs(before) >= kept[0], before, 0)
    assert_array_equal(values(m.weights), expected)
    assert_array_equal(to_numpy(m.weights.mask), expected != 0)


@pytest.mark.parametrize("schedule, gone", [("LINEAR", [10, 20, 30, 40]),
                                            ("CUBIC", [23, 35, 39, 40]), ("AT_END", [0, 0, 0, 40])])
def test_shares_of_a_schedule(xp, schedule, gone):
    m = make("MAGNITUDE", (6, 8), target=8, schedule=schedule)
    counts = []
    for i in range(4):
        m.prune((i + 1) / 4, 0.1)
        counts.append(int((values(m.weights) == 0).sum()))
    assert counts == gone


def test_what_is_gone_stays_so_and_counts(xp):
    """Entries that an update has moved from zero again are no reason to take others."""
    m = make("MAGNITUDE", (5, 4), target=4)
    m.prune(0.5, 0.1)
    first = to_numpy(m.weights.mask).copy()
    w = values(m.weights)
    smallest_left = np.argsort(np.where(first, abs(w), np.inf), axis=None)[:8]
    m.prune(1.0, 0.1)
    expected = first.copy()
    expected.reshape(-1)[smallest_left] = False
    assert_array_equal(to_numpy(m.weights.mask), expected)


def test_entries_at_zero_that_are_left_count_as_left(xp):
    m = make("MAGNITUDE", (5, 4), target=4)
    m.prune(0.5, 0.1)
    m.weights.data = np.zeros((5, 4))
    m.prune(1.0, 0.1)
    assert to_numpy(m.weights.mask).sum() == 4


def test_penalty_is_the_gradient_of_alpha_times_the_absolute_sum(xp):
    m = make("MAGNITUDE", (5, 4), target=4, alpha=0.25)
    m.weights.diff = np.full((5, 4), 3.0)
    m.penalize()
    assert_allclose(to_numpy(m.weights.diff), 3 + 0.25 * np.sign(values(m.weights)))


def test_no_penalty_where_alpha_is_not_given(xp):
    m = make("MAGNITUDE", (5, 4), target=4)
    m.weights.diff = np.full((5, 4), 3.0)
    m.penalize()
    assert_array_equal(to_numpy(m.weights.diff), np.full((5, 4), 3.0))


# ---- NODE

@pytest.mark.parametrize("shape, transposed", [((6, 8), False), ((8, 6), True),
                                               ((6, 2, 3, 2), False)])
def test_nodes_of_the_smallest_absolute_sums_go_with_their_biases(xp, shape, transposed):
    m = make("NODE", shape, biases=True, transposed=transposed, target=2)
    w, c = values(m.weights), values(m.biases)
    sums = abs(w.T if transposed else w.reshape(6, -1)).sum(axis=1)
    gone = np.argsort(sums)[:4]
    m.prune(0.5, 0.1)
    assert {int(i) for i in np.flatnonzero(values(m.biases) == 0)} == set(gone[:2].tolist())
    m.prune(1.0, 0.1)
    c[gone] = 0
    (w.T if transposed else w)[gone] = 0
    assert_array_equal(values(m.weights), w)
    assert_array_equal(values(m.biases), c)
    assert_array_equal(to_numpy(m.biases.mask), c != 0)


def test_nodes_without_biases(xp):
    m = make("NODE", (4, 3), target=1)
    m.prune(1.0, 0.1)
    assert (values(m.weights) != 0).any(axis=1).sum() == 1


# ---- OFF_DIAGONAL

@pytest.mark.parametrize("schedule", ["LINEAR", "CUBIC", "AT_END", "CROSSING", "SOFT"])
@pytest.mark.parametrize("transposed", [False, True])
def test_only_the_blocks_stay_at_the_end(xp, schedule, transposed):
    shape = (12, 8) if transposed else (8, 12)
    m = make("OFF_DIAGONAL", shape, transposed=transposed, num_blocks=4, schedule=schedule,
             alpha=0.1)
    before = values(m.weights)
    for i in range(3):
        m.penalize()
        m.prune((i + 1) / 3, 0.5)
    off = off_diagonal((8, 12), 4)
    expected = np.where(off.T if transposed else off, 0, before)
    assert_array_equal(values(m.weights), expected)
    assert_array_equal(to_numpy(m.weights.mask), ~(off.T if transposed else off))


@pytest.mark.parametrize("transposed", [False, True])
def test_condensed_blocks(xp, transposed):
    m = make("OFF_DIAGONAL", (6, 4) if transposed else (4, 6), transposed=transposed, num_blocks=2)
    dense = values(m.weights).T if transposed else values(m.weights)
    blocks = m.condense(m.weights.data)
    assert blocks.shape == (2, 2, 3) and isinstance(blocks, np.ndarray)
    assert_array_equal(blocks, [dense[:2, :3], dense[2:, 3:]])
    flat = m.condense(m.weights.data.reshape(-1))                   # a history
    assert_array_equal(flat, blocks)


@pytest.mark.parametrize("transposed", [False, True])
def test_unequal_blocks(xp, transposed):
    m = make("OFF_DIAGONAL", (6, 4) if transposed else (4, 6), transposed=transposed,
             block_output_dim=[3, 1], block_input_dim=[2, 4], weight_power=1, alpha=0.5)
    w = values(m.weights).T if transposed else values(m.weights)
    off = np.ones((4, 6), bool)
    off[:3, :2] = off[3:, 2:] = False
    m.penalize()
    dw = to_numpy(m.weights.diff)
    assert_array_equal(dw.T if transposed else dw, 0.5 * np.sign(w) * off)
    m.prune(0.5, 0.1)
    assert np.count_nonzero(values(m.weights)) == 24 - 7          # half of the 14 off the blocks
    m.prune(1.0, 0.1)
    left = values(m.weights)
    assert_array_equal(left.T if transposed else left, np.where(off, 0, w))
    m.rescale(lambda shape: None)                                               # by 6 / 2 and 6 / 4
    expected = [*3 * w[:3, :2].ravel(), *1.5 * w[3, 2:]]
    assert_allclose(m.condense(m.weights.data), expected, rtol=1e-14)


def test_linear_takes_the_smallest_off_the_blocks(xp):
    m = make("OFF_DIAGONAL", (4, 6), num_blocks=2)
    before, off = values(m.weights), off_diagonal((4, 6), 2)
    m.prune(0.5, 0.1)
    smallest = np.sort(abs(before[off]))[:6]
    assert_array_equal(values(m.weights), np.where(off & (abs(before) <= smallest[-1]), 0, before))


def test_crossing_takes_what_an_update_moves_through_zero(xp):
    m = make("OFF_DIAGONAL", (4, 6), num_blocks=2, schedule="CROSSING", alpha=0.5)
    before, off = values(m.weights), off_diagonal((4, 6), 2)
    m.penalize()
    assert_allclose(to_numpy(m.weights.diff), 0.5 * np.sign(before) * off)
    after = before.copy()
    after[0] *= -0.1                                 # two entries of it are off the blocks ...
    after[2] *= 0.1                                  # ... these are smaller, but not through
    after[3, 0] = 0                                  # ... and this one is off them and at zero
    m.weights.data = after
    m.prune(0.5, 0.1)
    after[0][off[0]] = 0
    assert_array_equal(values(m.weights), after)
    assert_array_equal(to_numpy(m.weights.mask), (after != 0))


def test_soft_is_the_proximal_step_after_the_update(xp):
    m = make("OFF_DIAGONAL", (4, 6), num_blocks=2, schedule="SOFT", alpha=3.0)
    before, off = values(m.weights), off_diagonal((4, 6), 2)
    m.weights.diff = np.zeros((4, 6))
    m.penalize()
    assert not to_numpy(m.weights.diff).any()
    m.prune(0.5, 0.1)
    shrunk = np.sign(before) * np.maximum(abs(before) - 0.3, 0)
    assert (shrunk[off] == 0).any() and (shrunk[off] != 0).any()
    assert_allclose(values(m.weights), np.where(off, shrunk, before), rtol=1e-14)
    assert_array_equal(to_numpy(m.weights.mask), ~off | (shrunk != 0))


# ---- what doesn't fit

@pytest.mark.parametrize("method, fields, message", [
    ("MAGNITUDE", {"target": 25}, "target 25 is more than the 24"),
    ("MAGNITUDE", {}, "exactly one of sparsity and target must be given"),
    ("MAGNITUDE", {"target": 3, "sparsity": 0.5}, "exactly one of sparsity and target"),
    ("RANDOM", {}, "exactly one of sparsity and target must be given"),
    ("RANDOM", {"target": 25}, "target 25 is more than the 24"),
    ("RAMANUJAN", {}, "exactly one of degree and sparsity must be given"),
    ("RAMANUJAN", {"degree": 3, "sparsity": 0.5}, "exactly one of degree and sparsity"),
    ("NODE", {}, "target must be given"),
    ("MAGNITUDE", {"sparsity": 1}, "sparsity must be at least 0 and less than 1, not 1"),
    ("RANDOM", {"sparsity": -0.5}, "less than 1, not -0.5"),
    ("RANDOM", {"sparsity": float("nan")}, "less than 1, not nan"),
    ("RAMANUJAN", {"sparsity": 1.5}, "less than 1, not 1.5"),
    ("RAMANUJAN", {"degree": 4}, "degree 4 does not fit .* 4 and 6: it can be 3, 6"),
    ("RAMANUJAN", {"sparsity": 0.7}, "sparsity 0.7 does not fit a matrix of 4 x 6"),
    ("RAMANUJAN", {"target": 2}, "target is of MAGNITUDE, NODE and RANDOM, not RAMANUJAN"),
    ("RAMANUJAN", {"degree": 3, "scope": "GLOBAL"}, "scope is of MAGNITUDE and RANDOM, not RAMA"),
    ("RANDOM", {"target": 2, "degree": 3}, "degree is of RAMANUJAN alone, not RANDOM"),
    ("RANDOM", {"target": 2, "alpha": 0.1}, "alpha is of .*, not RANDOM"),
    ("MAGNITUDE", {"target": 2, "random_seed": 3}, "random_seed is of RAMANUJAN and RANDOM, not"),
    ("NODE", {"sparsity": 0.5}, "sparsity is of MAGNITUDE, RAMANUJAN and RANDOM, not NODE"),
    ("NODE", {"target": 2, "unit": "KERNEL"}, "unit is of .*, not NODE"),
    ("OFF_DIAGONAL", {"num_blocks": 2, "leave_out": ["a"]}, "leave_out is of .*, not OFF_DIAGONAL"),
    ("NODE", {"target": 5}, "target 5 is more than the 4"),
    ("OFF_DIAGONAL", {"num_blocks": 3}, "num_output 4 is not a multiple of num_blocks 3"),
    ("OFF_DIAGONAL", {}, "num_output 4 is not a multiple of num_blocks 0"),
    ("OFF_DIAGONAL", {"num_blocks": 2, "target": 1}, "target is of MAGNITUDE, NODE and RANDOM, not OFF_DIAGONAL"),
    ("OFF_DIAGONAL", {"num_blocks": 2, "block_input_dim": [3, 3], "block_output_dim": [2, 2]},
     "give one of them"),
    ("OFF_DIAGONAL", {"block_input_dim": [3, 4], "block_output_dim": [2, 2]},
     r"add up to \(4, 7\), the weights are \(4, 6\)"),
    ("OFF_DIAGONAL", {"block_input_dim": [6]}, "0 block outputs and 1 block inputs"),
    ("NODE", {"target": 2, "block_input_dim": [6]}, "block_input_dim is of OFF_DIAGONAL"),
    ("MAGNITUDE", {"target": 2, "num_blocks": 2}, "num_blocks is of OFF_DIAGONAL"),
    ("NODE", {"target": 2, "lr_power": 0.5}, "lr_power is of OFF_DIAGONAL"),
    ("NODE", {"target": 2, "weight_power": 0}, "weight_power is of OFF_DIAGONAL"),
    ("NODE", {"target": 2, "schedule": "SOFT"}, "SOFT is of OFF_DIAGONAL"),
    ("MAGNITUDE", {"target": 2, "schedule": "CROSSING"}, "CROSSING is of OFF_DIAGONAL"),
])
def test_parameters_that_do_not_fit(method, fields, message):
    with pytest.raises(Error, match=message):
        make(method, (4, 6), **fields)


@pytest.mark.parametrize("filler, fields, factor", [
    ("xavier", {}, 2), ("msra", {}, 2), ("gaussian", {}, 1), ("uniform", {}, 1),
    ("xavier", {"weight_power": 0}, 1), ("gaussian", {"weight_power": 1.5}, 8),
    ("orthogonal", {}, 2), ("positive_unitball", {}, 4), ("sao", {}, 1), ("constant", {}, 1)])
def test_kept_weights_are_rescaled_as_fillers_would(xp, filler, fields, factor):
    m = make("OFF_DIAGONAL", (8, 12), num_blocks=4, **fields)
    before = m.condense(m.weights.data).copy()
    m.rescale(functools.partial(variance, FillerParameter(type=filler)))
    assert_allclose(m.condense(m.weights.data), factor * before, rtol=1e-14)


@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize("kind", ["xavier", "msra", "orthogonal", "positive_unitball"])
def test_unequal_blocks_get_the_deviation_their_filler_draws(kind, norm):
    """Measured on what it draws."""
    sizes, rng = [(300, 100), (100, 400)], np.random.default_rng(0)
    m = make("OFF_DIAGONAL", (400, 500), block_output_dim=[300, 100], block_input_dim=[100, 400])
    param, whole = FillerParameter(type=kind, variance_norm=norm), Blob((400, 500), np.float64)
    fill(whole, param, rng)
    m.weights.data = whole.data
    m.rescale(functools.partial(variance, param))
    for (rows, columns), block in zip(sizes, m.layout.diagonal(m.weights.data)):
        drawn = Blob((rows, columns), np.float64)
        fill(drawn, param, rng)
        assert block.std() == pytest.approx(drawn.data.std(), rel=0.03)
