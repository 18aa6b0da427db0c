"""The GPU's correlation beside the CPU's where the layers' tests with their small batches don't go:
several chunks of images, sums taken in parts, and what all that asks of the device."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.primitives import correlation as module
from minicaffe.primitives.correlation import Correlation, Geometry, GpuCorrelation, correlation

PLAIN = Geometry((3, 3), (1, 1), (1, 1), (1, 1))
GEOMETRIES = [PLAIN,
              Geometry((3, 2), (2, 1), (1, 0), (1, 2)),
              Geometry((3, 3), (1, 1), (0, 0), (1, 1), group=2),
              Geometry((3, 3), (2, 1), (2, 1), (1, 2), cyclic=True),
              Geometry((1, 1), (1, 1), (0, 0), (1, 1)),
              Geometry((1, 1), (1, 1), (0, 0), (1, 1), group=2)]


@pytest.fixture
def device(xp):
    if xp is np:
        pytest.skip("NumPy's correlation is what the others are compared with")
    return xp


def arrays(number, channels, features, size, geometry, dtype=np.float64):
    """x, y (as y and dy of either way), w, c."""
    rng = np.random.default_rng(0)
    shapes = ((number, channels, *size), (number, features, *geometry.output(size)),
              (features, channels // geometry.group, *geometry.kernel), (features,))
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def all_results(xp, channels, features, geometry, x, y, w, c):
    """Forward and backward of a convolution and of a deconvolution, as NumPy arrays."""
    here = correlation(xp, x.dtype, channels, features, geometry)
    assert isinstance(here, Correlation if xp is np else GpuCorrelation)
    here.plan(len(x), x.shape[2:], y.shape[2:])
    x, y, w, c = map(xp.asarray, (x, y, w, c))
    results = [xp.full(a.shape, 2.0, a.dtype) for a in (y, x, x, w, c, y, w)]
    features_, images, dx, dw, dc, dy, dw_back = results
    here.to_features(w, x, features_, c)
    here.to_images(w, y, images)
    here.start(w, dw, dc, images=True)
    here.backward_features(x, y, dx)
    here.finish()
    here.start(w, dw_back)
    here.backward_images(y, x, dy)
    here.finish()
    return [to_numpy(a) for a in results]


# column bytes of the GPU's chunks: all 7 images at once; 1, 1, ...; 3, 3 and 1, of 24 channels
@pytest.mark.parametrize("limit", [1 << 28, 1, 3 * 24 * 9 * 81 * 8])
@pytest.mark.parametrize("channels", [2, 24])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_chunks(device, monkeypatch, geometry, channels, limit):
    monkeypatch.setattr(module, "_GPU_COLUMN_BYTES", limit)
    given = arrays(7, channels, 6, (9, 9), geometry)
    expected = all_results(np, channels, 6, geometry, *given)
    for actual, wanted in zip(all_results(device, channels, 6, geometry, *given), expected):
        assert_allclose(actual, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("number, parts", [(1, 1), (12, 12), (13, 13), (30, 10)])
def test_sums_in_parts(device, monkeypatch, number, parts):
    monkeypatch.setattr(module, "_GPU_BLOCKS", 14)
    geometry = Geometry((5, 5), (1, 1), (0, 0), (1, 1))
    given = arrays(number, 2, 7, (26, 24), geometry)
    here = correlation(device, np.float64, 2, 7, geometry)
    here.plan(number, (26, 24), (22, 20))
    assert here.splits[number] == parts
    expected = all_results(np, 2, 7, geometry, *given)
    for actual, wanted in zip(all_results(device, 2, 7, geometry, *given), expected):
        assert_allclose(actual, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("number, channels, features, size, terms, parts", [
    (64, 1, 20, 28, 25, 64), (64, 20, 50, 12, 500, 16), (100, 3, 32, 36, 75, 100),
    (100, 32, 64, 12, 800, 10)])
def test_plans_of_known_nets(device, number, channels, features, size, terms, parts):
    """The convolutions of LeNet and of cuda-convnet's quick net: one chunk, and enough blocks."""
    geometry = Geometry((5, 5), (1, 1), (0, 0), (1, 1))
    here = correlation(device, np.float32, channels, features, geometry)
    here.plan(number, (size, size), (size - 4, size - 4))
    assert here.chunk == number and here.direct == (terms < 128) and here.splits[number] == parts


def test_numbers_of_a_first_and_a_later_layer(device):
    for channels, features in (1, 20), (2, 37), (20, 50):
        geometry = Geometry((5, 5), (1, 1), (0, 0), (1, 1))
        given = arrays(4, channels, features, (16, 16), geometry, np.float32)
        exact = all_results(np, channels, features, geometry, *(a.astype(float) for a in given))
        for actual, wanted in zip(all_results(device, channels, features, geometry, *given), exact):
            assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5 * abs(wanted).max())


@pytest.mark.parametrize("channels, geometry, forward, backward", [
    (20, PLAIN, 3, 7),                  # columns, product, bias
    # sums, rows, columns, the product in parts and their sums, product, images
    (4, PLAIN, 1, 7),                   # correlate
    (20, Geometry((1, 1), (1, 1), (0, 0), (1, 1)), 2, 6)])          # as it lies: product, bias
def test_what_is_asked_of_the_device(request, device, channels, geometry, forward, backward):
    if "stand-in" not in request.node.name:
        pytest.skip("only the stand-in counts")
    from stand_in.state import counts
    x, y, w, c = map(device.asarray, arrays(4, channels, 8, (16, 16), geometry))
    here = correlation(device, np.float64, channels, 8, geometry)
    here.plan(4, (16, 16), (16, 16))
    dx, dw, dc = (device.zeros(a.shape) for a in (x, w, c))
    for buffers_are_made in False, True:
        counts.reset()
        here.to_features(w, x, y, c)
        assert counts.launches == forward
        here.start(w, dw, dc, images=True)
        here.backward_features(x, y, dx)
        here.finish()
        assert counts.launches == forward + backward
        assert not (counts.synchronisations or counts.to_device or counts.to_host)
        assert not counts.allocations or not buffers_are_made


def test_bits_do_not_change(device):
    given = arrays(30, 6, 5, (12, 12), PLAIN, np.float32)
    first = all_results(device, 6, 5, PLAIN, *given)
    for one, two in zip(first, all_results(device, 6, 5, PLAIN, *given)):
        assert one.tobytes() == two.tobytes()
