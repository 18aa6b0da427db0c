"""Loops that kernels share: every entry with its channel, sums of all of a channel's entries."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe import backend
from minicaffe.primitives import elementwise
from minicaffe.primitives.device_loops import (BLOCK_SUM, channel_sums, elementwise_kernels, entries,
                                               launch)
from minicaffe.primitives.elementwise import Blocks

KERNELS = backend.Kernels("test_device_loops", BLOCK_SUM
    + entries("plain", "x y", "sum difference", "sum = x + p * y; difference = x - y;", "p")
    + entries("columned", "x", "y", "y = g * x + b + p;", "p", "g b")
    + channel_sums("sums", "x y", ["x", "(double)x * y"])
    + channel_sums("centred", "x", ["x - mine"], start="const double mine = x_[c * inner];") + """
extern "C" __global__ void rows(Index size, const Real *x, Real *y)
{
    double sum = 0, squares = 0;
    for (Index i = threadIdx.x; i < size; i += blockDim.x) sum += x[blockIdx.x * size + i];
    const double mean = block_sum(sum) / size;
    for (Index i = threadIdx.x; i < size; i += blockDim.x) {
        const double d = x[blockIdx.x * size + i] - mean;
        squares += d * d;
    }
    const double variance = block_sum(squares) / size;
    if (threadIdx.x == 255) { y[2 * blockIdx.x] = mean; y[2 * blockIdx.x + 1] = variance; }
}
""")
del backend.kernel_texts["test_device_loops"]
LEAKY = elementwise_kernels("test_leaky", "y = x > 0 ? x : p * x;", "dx = y > 0 ? dy : p * dy;", "p")
del backend.kernel_texts["test_leaky"]
# (outer, channels, inner): few and many channels, columns of matrices, one channel, none, nothing
SHAPES = [(1, 1, 1), (5, 3, 4), (40, 3, 1), (600, 1, 1), (3, 50, 7), (3, 2, 300), (33, 70, 1),
          (1, 1, 2000), (0, 3, 2), (3, 0, 2), (3, 2, 0)]


pytestmark = pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)


@pytest.fixture(autouse=True)
def compiled_anew(xp):
    """What is compiled here is for this back end only."""
    yield
    for kernels in KERNELS, LEAKY:
        kernels._functions.clear()


def test_entries(xp):
    x, y = np.random.default_rng(0).normal(size=(2, 3, 700))
    outputs = xp.empty((3, 700)), xp.empty((3, 700))
    launch(KERNELS, "plain", xp.asarray(x), xp.asarray(y), *outputs, 0.5)
    assert_array_equal(outputs[0].get(), x + 0.5 * y)
    assert_array_equal(outputs[1].get(), x - y)


@pytest.mark.parametrize("most_blocks", [1, 3, 2048])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_entry_has_the_numbers_of_its_channel(xp, monkeypatch, shape, most_blocks):
    monkeypatch.setattr(elementwise, "_BLOCKS", most_blocks)
    rng = np.random.default_rng(0)
    x, g, b = rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
    y = xp.empty(shape)
    Blocks(xp, *shape).launch(KERNELS, "columned", xp.asarray(x), y, xp.asarray(g),
                              xp.asarray(b), 2.0)
    # a GPU multiplies and adds with one rounding
    assert_allclose(y.get(), g[:, None] * x + b[:, None] + 2, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("terms", [1, 8, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_channels(xp, shape, terms):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=shape)
    blocks = Blocks(xp, *shape, terms=terms)
    sums = blocks.buffer(2)
    sums.fill(np.nan)
    blocks.launch_sums(KERNELS, "sums", sums, xp.asarray(x), xp.asarray(y))
    expected = [x.sum(axis=(0, 2)), (x * y).sum(axis=(0, 2))]
    assert_allclose(sums.get().sum(axis=1), expected, rtol=1e-12, atol=1e-12)

    total = xp.ones(shape[1])
    blocks.add_total(sums[1], total)
    assert_allclose(total.get(), 1 + expected[1], rtol=1e-12, atol=1e-12)
    blocks.write_total(sums[0], total)
    assert_allclose(total.get(), expected[0], rtol=1e-12, atol=1e-12)

    if x.size:
        blocks.launch_sums(KERNELS, "centred", sums, xp.asarray(x))
        expected = (x - x[0, :, :1]).sum(axis=(0, 2))
        assert_allclose(sums[0].get().sum(axis=0), expected, rtol=1e-12, atol=1e-12)


def test_long_sums_are_shared_out_and_the_same_every_time(xp):
    blocks = Blocks(xp, 600, 1, 20)
    assert blocks.groups > 1
    x = xp.asarray(np.random.default_rng(0).normal(size=(600, 1, 20)))
    sums = [blocks.buffer(2) for _ in range(2)]
    for s in sums:
        blocks.launch_sums(KERNELS, "sums", s, x, x)
    assert_array_equal(sums[0].get(), sums[1].get())


@pytest.mark.parametrize("size", [1, 7, 256, 1000])
def test_sums_of_a_block_reach_all_its_threads(xp, size):
    x = np.random.default_rng(0).normal(size=(3, size))
    y = xp.empty((3, 2))
    KERNELS.by_blocks("rows", x.dtype, 3, size, xp.asarray(x), y)
    assert_allclose(y.get(), np.stack([x.mean(axis=1), x.var(axis=1)], 1), rtol=1e-12, atol=1e-15)


def test_elementwise_kernels(xp):
    x, dy = np.random.default_rng(0).normal(size=(2, 50))
    y, kept, dx = (xp.empty(50) for _ in range(3))
    leaky = np.where(x > 0, x, 0.5 * x)
    launch(LEAKY, "values", xp.asarray(x), y, 0.5)
    assert_array_equal(y.get(), leaky)
    launch(LEAKY, "gradient", kept, y, xp.asarray(dy), dx, 0.5)
    assert_array_equal(dx.get(), np.where(x > 0, dy, 0.5 * dy))

    y = xp.asarray(x)                                       # in place
    launch(LEAKY, "values_kept", y, y, kept, 0.5)
    assert_array_equal(y.get(), leaky)
    assert_array_equal(kept.get(), x)
