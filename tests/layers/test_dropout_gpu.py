"""Dropout's masks on a device: drawn in the kernel, by Philox, from a state that goes on there."""

import numpy as np
import pytest
from helpers import make_layer
from numpy.testing import assert_array_equal

from minicaffe import backend

pytestmark = pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
N = 4099                                                    # no multiple of 4, several blocks


def make(xp, n=N, seed=0, **options):
    return make_layer("Dropout", (n,), xp=xp, values={0: np.ones(n)}, dtype=np.float32, seed=seed,
                      **options)


def masks(layer, bottom, top, passes):
    """Which entries are kept, of so many passes."""
    for _ in range(passes):
        layer.forward(bottom, top)
        yield top[0].data != 0


def philox(key, counters, pass_number):
    """Philox4x32-10 of many counters (i, 0, pass, 0) at once: (4, n)."""
    mask, one = np.uint64(2**32 - 1), np.ones(len(counters), np.uint64)
    words = [counters.astype(np.uint64), 0 * one, pass_number * one, 0 * one]
    k0, k1 = map(int, key)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * words[0], np.uint64(0xCD9E8D57) * words[2]
        words = [second >> 32 ^ words[1] ^ np.uint64(k0), second & mask,
                 first >> 32 ^ words[3] ^ np.uint64(k1), first & mask]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.array(words)


@pytest.mark.parametrize("ratio", [0.5, 0.2])
def test_masks_are_philox_numbers_at_least_the_ratio(xp, ratio):
    layer, bottom, top = make(xp, dropout_ratio=ratio)
    key, quarter = layer.random.data[:2], -(-N // 4)
    for k, kept in enumerate(masks(layer, bottom, top, 3)):
        drawn = philox(key, np.arange(quarter), k).reshape(-1)[:N]
        assert_array_equal(kept, drawn >= round(layer.ratio * 2**32))


def test_gradient_uses_the_mask_of_the_last_forward(xp):
    layer, bottom, top = make(xp)
    for kept in masks(layer, bottom, top, 3):
        top[0].diff[...] = 3
        layer.backward(top, [True], bottom)
        assert_array_equal(bottom[0].diff, 6 * kept)
        layer.backward(top, [True], bottom)
        assert_array_equal(bottom[0].diff, 6 * kept)


def test_the_state_is_all_that_a_snapshot_needs(xp):
    first, other = make(xp), make(xp, seed=5)
    list(masks(*first, 2))
    state = first[0].carried[0].data.tolist()
    expected = list(masks(*first, 3))
    assert (next(masks(*other, 1)) != expected[0]).mean() > 0.4          # another key
    other[0].carried[0].data = state
    for kept, again in zip(expected, masks(*other, 3)):
        assert_array_equal(again, kept)


def test_a_captured_graph_draws_anew_in_each_replay(xp):
    eager, (layer, bottom, top) = make(xp), make(xp)
    expected = list(masks(*eager, 5))
    assert_array_equal(next(masks(layer, bottom, top, 1)), expected[0])
    stream = backend.xp().cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        layer.forward(bottom, top)
        graph = stream.end_capture()
        for kept in expected[1:]:
            graph.launch()
            stream.synchronize()
            assert_array_equal(top[0].data != 0, kept)


def test_layers_of_one_net_and_passes_draw_independently(xp):
    drawn = [kept for seed in range(3) for kept in masks(*make(xp, seed=seed), 3)]
    correlation = np.corrcoef(np.array(drawn, float)) - np.eye(9)
    assert abs(correlation).max() < 5 / np.sqrt(N)


def test_in_test_nothing_is_drawn_or_carried(xp):
    layer, bottom, top = make(xp, phase="TEST")
    layer.forward(bottom, top)
    assert not layer.carried
    assert_array_equal(top[0].data, bottom[0].data)


def test_an_empty_batch(xp):
    layer, bottom, top = make(xp, n=0)
    layer.forward(bottom, top)
    assert layer.carried[0].data[2:].tolist() == [0, 0]
