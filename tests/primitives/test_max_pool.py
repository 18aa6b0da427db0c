"""The phased way of max pooling, which Pooling uses where it is faster, against a loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.primitives.im2col import Workspace
from minicaffe.primitives.max_pool import PhasedMaxPool


@st.composite
def geometries(draw):
    """(kernel, stride, pad, size, output), pairs: any that Pooling lets through for MAX."""
    pairs = []
    for _ in range(2):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        pad, size = draw(st.integers(0, kernel - 1)), draw(st.integers(1, 9))
        outputs = -(-(size + 2 * pad - kernel) // stride) + 1
        if (outputs - 1) * stride >= size + pad:
            outputs -= 1
        pairs.append((kernel, stride, pad, size, max(outputs, 1)))
    return tuple(zip(*pairs))


def windows(kernel, stride, pad, size, output):
    """For each output place: the places of its window within the plane, in row order."""
    for i, j in np.ndindex(*output):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        rows = range(max(0, top), min(size[0], top + kernel[0]))
        columns = range(max(0, left), min(size[1], left + kernel[1]))
        yield (i, j), [(r, c) for r in rows for c in columns]


@settings(deadline=None, max_examples=200)
@given(geometries(), st.booleans(), st.integers(1, 3))
def test_forward_and_backward_equal_a_loop(geometry, ties, n):
    size, output = geometry[3:]
    rng = np.random.default_rng(0)
    x = rng.integers(3, size=(n, *size)).astype(float) if ties else rng.normal(size=(n, *size))
    dy, work = rng.normal(size=(n, *output)), Workspace(np.float64)
    expected, expected_dx = np.empty((n, *output)), np.zeros_like(x)
    for place, inside in windows(*geometry):
        if not inside:
            return                          # an empty window: Pooling's own tests
        for k in range(n):
            best = max(inside, key=lambda at: x[(k, *at)])       # max keeps the first of equals
            expected[(k, *place)] = x[(k, *best)]
            expected_dx[(k, *best)] += dy[(k, *place)]
    pool = PhasedMaxPool(*geometry)
    y, dx = np.full((n, *output), np.nan), np.full_like(x, np.nan)
    pool.forward(x, y, work)
    assert_array_equal(y, expected)
    pool.backward(x, y, dy, dx, work)
    assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-12)


def test_a_workspace_used_by_others_before():
    """Everything it holds may be garbage."""
    geometry = ((3, 3), (2, 2), (1, 1), (7, 7), (4, 4))
    rng = np.random.default_rng(0)
    x, dy, results = rng.normal(size=(10, 7, 7)), rng.normal(size=(10, 4, 4)), []
    for garbage in (0, np.nan, 1e300):
        work = Workspace(np.float64)
        for name in ("phases", "wide", "gradient", "product", "result"):
            work.get(name, (20000,)).fill(garbage)
        pool = PhasedMaxPool(*geometry)
        y, dx = np.empty((10, 4, 4)), np.empty((10, 7, 7))
        pool.forward(x, y, work)
        pool.backward(x, y, dy, dx, work)
        results.append((y, dx))
    for y, dx in results[1:]:
        assert_array_equal(y, results[0][0])
        assert_array_equal(dx, results[0][1])
