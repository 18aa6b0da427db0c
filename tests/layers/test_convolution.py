import functools

import numpy as np
import pytest
from helpers import (backward_once, check_adjoints, check_gradient,
                     check_only_what_is_asked, make_layer)
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.errors import Error, LayerError

make = functools.partial(make_layer, "Convolution")

CASES = [((2, 4, 6, 7), dict(kernel_size=[3])),
         ((2, 4, 6, 7), dict(kernel_size=[3], pad=[1], stride=[2])),
         ((2, 4, 6, 7), dict(kernel_h=3, kernel_w=2, stride_h=1, stride_w=2, pad_h=2, pad_w=0)),
         ((2, 4, 6, 7), dict(kernel_size=[1])),
         ((2, 4, 6, 7), dict(kernel_size=[1], stride=[2])),
         ((2, 4, 6, 7), dict(kernel_size=[1], pad=[1])),
         ((2, 4, 6, 7), dict(kernel_size=[6, 7])),
         ((2, 4, 6, 7), dict(kernel_size=[3], dilation=[2], pad=[2])),
         ((2, 4, 6, 7), dict(kernel_size=[3, 2], dilation=[1, 3], group=2)),
         ((2, 4, 6, 7), dict(kernel_size=[3], group=2, stride=[2], pad=[1])),
         ((2, 4, 6, 7), dict(kernel_size=[3], group=4, num_output=8, bias_term=False)),
         ((2, 4, 6, 7), dict(kernel_size=[2], pad=[3])),
         ((2, 12, 6, 7), dict(kernel_size=[3], num_output=2)),
         ((3, 2, 9), dict(kernel_size=[3], pad=[1], stride=[2])),
         ((2, 2, 4, 5, 3), dict(kernel_size=[2, 3, 1], pad=[1, 0, 0])),
         ((2, 3, 4, 5, 6), dict(kernel_size=[2], axis=2, num_output=3)),
         ((4, 6, 7), dict(kernel_size=[3], axis=0)),
         ((2, 4, 6, 7), dict(kernel_size=[3], axis=-3))]


def with_outputs(fields):
    return {"num_output": 4, **fields}


def naive(layer, x, w, c):
    """Windows by NumPy's own sliding view, and one sum over channels and taps a group."""
    n, axis, group = layer.axes, layer.axis, layer.param.group
    x = x.reshape(-1, *x.shape[axis:])
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in layer.pad])
    extent = tuple(d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel))
    windows = sliding_window_view(x, extent, axis=tuple(range(2, 2 + n)))
    windows = windows[(slice(None),) * 2 + tuple(slice(None, None, s) for s in layer.stride)
                      + tuple(slice(None, None, d) for d in layer.dilation)]
    inputs, outputs = w.shape[1], len(w) // group
    parts = [np.tensordot(windows[:, g * inputs:(g + 1) * inputs], w[g * outputs:(g + 1) * outputs],
                          axes=([1, *range(2 + n, 2 + 2 * n)], range(1, 2 + n)))
             for g in range(group)]
    return np.moveaxis(np.concatenate(parts, axis=-1) + c, -1, 1)


def weights(layer):
    w = to_numpy(layer.blobs[0].data)
    return w, to_numpy(layer.blobs[1].data) if layer.param.bias_term else 0


@pytest.mark.parametrize("shape, fields", CASES, ids=str)
class TestConvolution:
    def test_forward(self, xp, shape, fields):
        layer, bottom, top = make(shape, xp=xp, **with_outputs(fields))
        layer.forward(bottom, top)
        expected = naive(layer, to_numpy(bottom[0].data), *weights(layer))
        y = to_numpy(top[0].data)
        assert y.shape[:layer.axis] == shape[:layer.axis]
        assert_allclose(y.reshape(expected.shape), expected, rtol=1e-11, atol=1e-12)

    def test_gradient(self, xp, shape, fields):
        check_gradient(*make(shape, xp=xp, **with_outputs(fields)), samples=40)

    def test_parameter_diffs_add_up_and_bottom_diffs_do_not(self, xp, shape, fields):
        layer, bottom, top = make(shape, xp=xp, **with_outputs(fields))
        first, second = [backward_once(layer, bottom, top) for _ in range(2)]
        for once, twice, factor in zip(first, second, (1, 2, 2)):
            assert_allclose(twice, factor * once, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 2e-4)])
@pytest.mark.parametrize("shape, fields", [
    ((257, 3, 20, 20), dict(kernel_size=[5], num_output=6)),
    ((130, 8, 16, 16), dict(kernel_size=[3], pad=[1], num_output=16)),
    ((97, 16, 9, 9), dict(kernel_size=[3], pad=[1], stride=[2], group=2, num_output=4)),
    ((300, 8, 10, 10), dict(kernel_size=[1], num_output=16))])
def test_large_batches_in_chunks(xp, dtype, rtol, shape, fields):
    layer, bottom, top = make(shape, xp=xp, dtype=dtype, **fields)
    check_adjoints(layer, bottom, top, naive, rtol)


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("propagate_down", [True, False])
def test_only_what_is_asked_for_is_computed(xp, flags, propagate_down):
    layer, bottom, top = make((2, 4, 6, 7), xp=xp, num_output=4, kernel_size=[3])
    check_only_what_is_asked(layer, bottom, top, flags, propagate_down)


def test_several_bottoms_share_the_weights(xp):
    layer, bottom, top = make([(2, 3, 5, 5)] * 2, xp=xp, num_top=2, num_output=4, kernel_size=[3])
    check_gradient(layer, bottom, top, samples=40)
    layer.forward(bottom, top)
    for b, t in zip(bottom, top):
        assert_allclose(to_numpy(t.data), naive(layer, to_numpy(b.data), *weights(layer)),
                        rtol=1e-11, atol=1e-12)


def test_bottom_may_change_its_shape(xp):
    layer, bottom, top = make((2, 3, 5, 5), xp=xp, num_output=4, kernel_size=[3], pad=[1])
    layer.forward(bottom, top)
    for shape in ((1, 3, 4, 9), (7, 3, 8, 8)):
        bottom[0].reshape(shape)
        bottom[0].data[...] = np.random.default_rng(1).normal(size=shape)
        layer.reshape(bottom, top)
        assert top[0].shape == (shape[0], 4, *shape[2:])
        check_gradient(layer, bottom, top, samples=30)


@pytest.mark.parametrize("fields, message", [
    (dict(kernel_size=[7]), r"kernel \(7, 7\) .* is larger than its input \(6, 6\)"),
    (dict(kernel_size=[3], dilation=[3]), "with dilation .* is larger than its input"),
    (dict(kernel_size=[3], num_output=0), "num_output 0 must be a positive multiple of group 1"),
    (dict(kernel_size=[3], group=3), "num_output 4 must be a positive multiple of group 3"),
    (dict(kernel_size=[3], group=2, num_output=6), "number of channels 3 must be .* of group 2"),
    (dict(kernel_size=[3], group=0), "group 0"),
    (dict(kernel_size=[0]), r"kernel must be positive, not \(0, 0\)"),
    (dict(kernel_size=[3], stride=[0]), "stride must be positive"),
    (dict(), "kernel must be given once or 2 times, not 0"),
    (dict(kernel_size=[3, 3, 3]), "kernel must be given once or 2 times, not 3"),
    (dict(kernel_size=[3], kernel_h=3), "kernel_h and kernel_w are for two spatial axes"),
    (dict(kernel_size=[3], axis=3), "needs spatial axes after axis 3")])
def test_fields_that_do_not_fit(fields, message):
    with pytest.raises(LayerError, match="Convolution.*" + message):
        make((2, 3, 6, 6), **with_outputs(fields))


def test_bottoms_that_do_not_fit():
    with pytest.raises(LayerError, match="as many tops as bottoms, not 1 for 2"):
        make([(2, 3, 6, 6)] * 2, num_output=4, kernel_size=[3])
    with pytest.raises(LayerError, match=r"all bottoms need the shape \(2, 3, 6, 6\)"):
        make([(2, 3, 6, 6), (2, 3, 5, 6)], num_top=2, num_output=4, kernel_size=[3])
    with pytest.raises(Error, match="axis 4 does not exist"):
        make((2, 3, 6, 6), num_output=4, kernel_size=[3], axis=4)
    layer, bottom, top = make((2, 3, 6, 6), num_output=4, kernel_size=[3])
    bottom[0].reshape(2, 4, 6, 6)
    with pytest.raises(LayerError, match=r"bottom shape \(2, 4, 6, 6\) does not fit weights"):
        layer.reshape(bottom, top)


def test_four_spatial_axes(xp):
    fields = dict(num_output=2, kernel_size=[2, 1, 2, 1])
    if xp is not np:
        with pytest.raises(LayerError, match="Convolution.*4 spatial axes, .* at most 3"):
            make((2, 3, 2, 3, 2, 2), xp=xp, **fields)
        return
    layer, bottom, top = make((2, 3, 2, 3, 2, 2), xp=xp, **fields)
    layer.forward(bottom, top)
    expected = naive(layer, bottom[0].data, *weights(layer))
    assert_allclose(to_numpy(top[0].data), expected, rtol=1e-11)
