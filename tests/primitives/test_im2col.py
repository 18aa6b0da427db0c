import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.primitives import im2col


@st.composite
def geometries(draw, axes=(1, 3)):
    """(m, C, size, kernel, stride, pad, dilation, output) with at least one window."""
    n = draw(st.integers(*axes))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(n))

    kernel, stride, pad, dilation, output = (sizes(*s) for s in ((1, 3), (1, 3), (0, 2), (1, 2),
                                                                  (1, 3)))
    size = tuple(max(1, d * (k - 1) + 1 + (o - 1) * t - 2 * p)
                 for d, k, o, t, p in zip(dilation, kernel, output, stride, pad))
    output = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1
                   for s, p, d, k, t in zip(size, pad, dilation, kernel, stride))
    m, channels = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return m, channels, size, kernel, stride, pad, dilation, output


def loaded(images, size, pad):
    m, channels = images.shape[:2]
    padded = np.full(im2col.padded_shape(channels, size, pad, m), np.nan)
    im2col.load(padded, images, pad)
    return padded


@settings(deadline=None, max_examples=60)
@given(geometries())
def test_windows_hold_what_a_loop_finds(geometry):
    m, channels, size, kernel, stride, pad, dilation, output = geometry
    images = np.random.default_rng(0).normal(size=(m, channels, *size))
    columns = im2col.windows(loaded(images, size, pad), kernel, stride, dilation, output)
    assert columns.shape == (channels, *kernel, *output, m)
    for tap in itertools.product(*map(range, kernel)):
        for place in itertools.product(*map(range, output)):
            at = [o * t + k * d - p for o, t, k, d, p in zip(place, stride, tap, dilation, pad)]
            inside = all(0 <= a < s for a, s in zip(at, size))
            expected = images[(..., *at)].T if inside else np.zeros((channels, m))
            assert_array_equal(columns[(slice(None), *tap, *place)], expected)


@settings(deadline=None, max_examples=40)
@given(geometries())
def test_add_windows_is_the_adjoint_of_windows(geometry):
    m, channels, size, kernel, stride, pad, dilation, output = geometry
    rng = np.random.default_rng(0)
    images = rng.normal(size=(m, channels, *size))
    padded = loaded(images, size, pad)
    columns = rng.normal(size=(channels, *kernel, *output, m))
    sums = np.zeros_like(padded)
    im2col.add_windows(sums, columns, kernel, stride, dilation, output)
    there = (columns * im2col.windows(padded, kernel, stride, dilation, output)).sum()
    back = np.empty_like(images)
    im2col.store(back, sums, pad)
    assert_allclose((back * images).sum(), there, rtol=1e-9, atol=1e-9)


def test_store_undoes_load():
    images = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    for pad in ((0, 0), (1, 2)):
        padded = loaded(images, (4, 5), pad)
        assert_allclose(padded.sum(), images.sum(), rtol=1e-12)
        back = np.empty_like(images)
        im2col.store(back, padded, pad)
        assert_array_equal(back, images)


def test_workspace_keeps_its_memory():
    work = im2col.Workspace(np.float32)
    first = work.get("a", (4, 5))
    assert first.shape == (4, 5) and first.dtype == np.float32
    assert np.shares_memory(first, work.get("a", (2, 3)))
    assert not np.shares_memory(first, work.get("b", (4, 5)))
    assert work.get("a", (50, 5)).shape == (50, 5)
