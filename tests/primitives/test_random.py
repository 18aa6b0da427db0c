"""Numbers drawn in kernels: Philox4x32-10 against its authors' values and NumPy arithmetic."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe.backend import Kernels, to_numpy
from minicaffe.primitives import random

KERNELS = Kernels("test of philox", random.PHILOX_TEXT + """
extern "C" __global__ void draw(Index n, const unsigned* state, Wide first, unsigned* out)
{
    GRID_LOOP(i, n) {
        const Words words = philox(state[0], state[1], first + i, state[2]);
        for (int k = 0; k < 4; ++k)
            out[4 * i + k] = words.word[k];
    }
}

extern "C" __global__ void pass(Index n, unsigned* state, unsigned* seen)
{
    const unsigned mine = begin_pass(state);
    GRID_LOOP(i, n)
        seen[i] = mine;
}
""")


def draw(xp, key, first, pass_number, n):
    """(n, 4) words for the counters first .. first + n - 1."""
    state, out = xp.zeros(4, np.uint32), xp.zeros((n, 4), np.uint32)
    state[0], state[1], state[2] = *key, pass_number
    KERNELS("draw", np.float32, n, n, state, np.int64(first), out)
    return to_numpy(out)


def philox(key, counter):
    """Philox4x32-10 word by word, in Python's integers."""
    (k0, k1), (a, b, c, d), mask = key, counter, 2**32 - 1
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k0, second & mask, (first >> 32) ^ d ^ k1, first & mask
        k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
    return a, b, c, d


def test_the_reference_of_these_tests_is_philox():
    """All three of the authors' known answers, of which the last is of the digits of pi."""
    ones = 2**32 - 1
    assert philox((0, 0), (0,) * 4) == (0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8)
    assert philox((ones, ones), (ones,) * 4) == (0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd)
    assert philox((0xa4093822, 0x299f31d0), (0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344)) \
        == (0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1)


@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
@pytest.mark.parametrize("key", [(0, 0), (0xa4093822, 0x299f31d0), (2**32 - 1, 1)])
@pytest.mark.parametrize("first", [0, 12345, 2**32 - 3, 0x85a308d3243f6a88 >> 1])
def test_kernel_equals_philox(xp, key, first):
    for pass_number in 0, 1, 2**32 - 1:
        words = draw(xp, key, first, pass_number, 7)
        for i, row in enumerate(words, first):
            assert tuple(row) == philox(key, (i % 2**32, i >> 32, pass_number, 0))


@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
def test_numbers_are_spread_evenly_and_do_not_hang_together(xp):
    key = random.start(np.random.default_rng(0))[:2].tolist()
    one, other = (draw(xp, key, 0, k, 1 << 16).ravel() for k in (3, 4))
    n = one.size
    for shift in 0, 13, 24:                                # bytes of different places of the word
        counts = np.bincount(one >> shift & 255, minlength=256)
        chi = ((counts - n / 256) ** 2 / (n / 256)).sum()
        assert abs(chi - 255) < 5 * np.sqrt(2 * 255)
    numbers = np.array([one, np.roll(one, 1), np.roll(one, 4), other]) / 2**32
    correlation = np.corrcoef(numbers) - np.eye(4)
    assert abs(correlation).max() < 5 / np.sqrt(n)
    assert (one == other).sum() < 5


@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
@pytest.mark.parametrize("n", [1, 256, 1000])
def test_all_blocks_see_one_pass_and_the_next_launch_the_next(xp, n):
    state, seen = xp.zeros(4, np.uint32), xp.zeros(n, np.uint32)
    for k in range(3):
        KERNELS("pass", np.float32, n, n, state, seen)
        assert_array_equal(to_numpy(seen), k)
        assert to_numpy(state).tolist() == [0, 0, k + 1, 0]


def test_start_draws_the_key():
    first, again = (random.start(np.random.default_rng(1)) for _ in range(2))
    other = random.start(np.random.default_rng(2))
    assert first.dtype == np.uint32 and first[2:].tolist() == [0, 0]
    assert_array_equal(first, again)
    assert (first[:2] != other[:2]).all()
