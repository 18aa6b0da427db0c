"""Maps in pieces and blocks: every entry once, sums complete, whatever the sizes."""

import numpy as np
import pytest
from helpers import backward_once, make_layer
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.primitives import elementwise
from minicaffe.primitives.elementwise import Blocks, map_pieces, scratch_arrays

pytestmark = pytest.mark.parametrize("xp", ["numpy"], indirect=True)      # pieces are the CPU's


@pytest.fixture(params=[1, 7, 64, 1000])
def piece(request, monkeypatch):
    monkeypatch.setattr(elementwise, "PIECE", request.param)
    return request.param


SHAPES = [(1, 1, 1), (5, 3, 4), (40, 3, 1), (1, 50, 7), (3, 2, 300), (2, 300, 1), (70, 2, 65), (0, 3, 2)]


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 500, 1001])
def test_pieces_meet_every_entry_once(xp, piece, size):
    a, b = xp.arange(float(size)), xp.zeros(size)

    def function(x, y, spare):
        assert x.shape == y.shape == spare.shape
        spare[...] = x
        y += spare + 1

    map_pieces(xp, function, a, b, scratch=1)
    assert_array_equal(b, a + 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_meet_every_entry_once_and_sum_it(xp, piece, shape):
    x = np.random.default_rng(0).normal(size=shape)
    met, blocks = np.zeros(shape), Blocks(xp, *shape)
    sums, offset = blocks.buffer(1), np.arange(float(shape[1]))[:, None]

    def function(at, x, met, spare):
        assert x.shape == spare.shape
        met += x + offset[at[1]]
        sums[0][at] += x.sum(axis=(0, 2))

    blocks.map(function, x, met, scratch=1)
    assert_allclose(met, x + offset, rtol=1e-15)
    assert_allclose(sums[0].sum(axis=0), x.sum(axis=(0, 2)), rtol=1e-12, atol=1e-12)


def test_scratch_arrays_are_distinct_and_handed_out_again(xp):
    a, b = scratch_arrays(xp, 2, (3, 4), np.float32)
    flag, = scratch_arrays(xp, 1, (3, 4), bool)
    a[...], b[...], flag[...] = 1, 2, True
    assert (a == 1).all() and (b == 2).all() and a.dtype == np.float32 and flag.dtype == bool
    assert np.shares_memory(a, scratch_arrays(xp, 1, (5, 2), np.float32)[0])


@pytest.mark.parametrize("type_name, fields", [
    ("Scale", {"bias_term": True}), ("Bias", {}), ("PReLU", {}), ("PReLU", {"channel_shared": True}),
    ("BatchNorm", {}), ("LayerNorm", {}), ("MVN", {}), ("MaxMin", {}), ("ReLU", {}), ("GELU", {})])
def test_layers_do_not_depend_on_the_pieces(xp, monkeypatch, type_name, fields):
    def run():
        layer, bottom, top = make_layer(type_name, (40, 4, 9, 8), xp=xp, **fields)
        diffs = backward_once(layer, bottom, top)
        return [top[0].data.copy(), *diffs]

    expected = run()
    for piece in 16, 100, 3000:
        monkeypatch.setattr(elementwise, "PIECE", piece)
        for a, b in zip(run(), expected):
            assert_allclose(a, b, rtol=1e-10, atol=1e-12)
