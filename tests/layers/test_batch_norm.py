import functools

import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe
from minicaffe.analysis.gradient_check import check_net
from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError
from minicaffe.proto import caffe_pb2, text

SHAPES = [(6, 3), (4, 3, 5), (3, 3, 4, 2), (2, 3, 2, 3, 2), (3, 2, 8, 8)]
EPS = float(np.float32(1e-5))
STORED = {"use_global_stats": True}


def make(shape, statistics=(0.5, 2.0, 4.0), **options):
    """A BatchNorm layer with blobs near these values (sum of means, of variances, weight)."""
    layer, bottom, top = make_layer("BatchNorm", shape, **options)
    for blob, value in zip(layer.blobs, statistics):
        blob.data[...] = value + 0.25 * value * np.arange(blob.size)
    return layer, bottom, top


def along(shape, values):
    return values.reshape((1, -1) + (1,) * (len(shape) - 2))


def others(shape):
    return tuple(i for i in range(len(shape)) if i != 1)


@pytest.mark.parametrize("shape", SHAPES)
class TestBatchNorm:
    def test_batch_statistics(self, xp, shape):
        layer, bottom, top = make(shape, xp=xp, eps=0.125, moving_average_fraction=0.75)
        before = [to_numpy(b.data).copy() for b in layer.blobs]
        layer.forward(bottom, top)
        x = to_numpy(bottom[0].data)
        mean, variance = x.mean(axis=others(shape)), x.var(axis=others(shape))
        assert_allclose(to_numpy(top[0].data), (x - along(shape, mean))
                        / np.sqrt(along(shape, variance) + 0.125), rtol=1e-12, atol=1e-14)
        unbiased = x.var(axis=others(shape), ddof=1)
        for blob, old, new in zip(layer.blobs, before, (mean, unbiased, 1)):
            assert_allclose(to_numpy(blob.data), 0.75 * old + new, rtol=1e-12)

    @pytest.mark.parametrize("options", [{"phase": "TEST"}, STORED])
    def test_stored_statistics(self, xp, shape, options):
        layer, bottom, top = make(shape, xp=xp, **options)
        before = [to_numpy(b.data).copy() for b in layer.blobs]
        layer.forward(bottom, top)
        s, v, t = before
        expected = (to_numpy(bottom[0].data) - along(shape, s / t)) / np.sqrt(along(shape, v / t) + EPS)
        assert_allclose(to_numpy(top[0].data), expected, rtol=1e-12, atol=1e-14)
        for blob, old in zip(layer.blobs, before):
            assert_array_equal(to_numpy(blob.data), old)

    @pytest.mark.parametrize("in_place", [False, True])
    @pytest.mark.parametrize("options", [{}, {"phase": "TEST"}, STORED, {"eps": 0.5},
                                         {"phase": "TEST", "use_global_stats": False}])
    def test_gradient(self, xp, shape, options, in_place):
        results = check_gradient(*make(shape, xp=xp, in_place=in_place, **options))
        assert [r.count for r in results] == [np.prod(shape)]        # the blobs are not learnt

    @pytest.mark.parametrize("options", [{}, STORED])
    def test_in_place_equals_two_blobs(self, xp, shape, options):
        apart, together = (make(shape, xp=xp, in_place=p, **options) for p in (False, True))
        assert_array_equal(backward_once(*together)[0], backward_once(*apart)[0])

    def test_gradient_survives_a_layer_that_works_in_place_on_the_top(self, xp, shape):
        layer, bottom, top = make(shape, xp=xp)
        expected = backward_once(layer, bottom, top)[0]
        layer.forward(bottom, top)
        top[0].data[...] = 77
        layer.backward(top, [True], bottom)
        assert_array_equal(to_numpy(bottom[0].diff), expected)


@pytest.mark.parametrize("sums", [0, 3])
def test_statistics_of_weight_0_are_0(xp, sums):
    layer, bottom, top = make((4, 3), (sums, sums, 0), xp=xp, phase="TEST", eps=0.25)
    layer.forward(bottom, top)
    assert_allclose(to_numpy(top[0].data), 2 * to_numpy(bottom[0].data), rtol=1e-14)


def test_one_value_a_channel_has_no_correction(xp):
    layer, bottom, top = make((1, 3), (0, 0, 0), xp=xp)
    layer.forward(bottom, top)
    assert_array_equal(to_numpy(layer.blobs[1].data), [0, 0, 0])


@pytest.mark.parametrize("shape", [(100, 3, 40, 40), (1, 2, 300, 301), (3, 70000), (2000, 7, 11)])
@pytest.mark.parametrize("far, rtol", [(0, 2e-6), (3.9, 1e-5), (100, 1e-4)])
def test_many_blocks_with_a_mean_far_from_zero(xp, shape, far, rtol):
    values = np.random.default_rng(1).normal(size=shape) + far
    single = make(shape, (0, 0, 0), xp=xp, dtype=np.float32, values={0: values})
    single[0].forward(*single[1:])
    x = np.float64(to_numpy(single[1][0].data))
    mean, variance = x.mean(axis=others(shape)), x.var(axis=others(shape))
    expected = (x - along(shape, mean)) / np.sqrt(along(shape, variance) + EPS)
    blobs = [to_numpy(b.data) for b in single[0].blobs]
    assert_allclose(blobs[0], mean, rtol=1e-6, atol=1e-7)
    assert_allclose(blobs[1], x.var(axis=others(shape), ddof=1), rtol=rtol, atol=1e-7)
    assert abs(to_numpy(single[2][0].data) - expected).max() < 1e-3
    dx = backward_once(*single)[0]
    double = make(shape, (0, 0, 0), xp=xp, values={0: x})
    assert abs(dx - backward_once(*double)[0]).max() < 1e-3 * abs(dx).max()


def test_number_of_threads_changes_no_bit(xp, monkeypatch):
    results = []
    for threads in 1, 2, 3:
        monkeypatch.setattr(minicaffe.primitives.parallel, "num_threads", threads)
        layer, bottom, top = make((40, 5, 50, 50), xp=xp, dtype=np.float32)
        results.append([*backward_once(layer, bottom, top)[:1], to_numpy(layer.blobs[1].data)])
    for again in results[1:]:
        for a, b in zip(again, results[0]):
            assert_array_equal(a, b)


def net(lr="", phase=minicaffe.TRAIN):
    param = text.parse("""layer { name: "data" type: "Input" top: "data"
                                  input_param { shape { dim: 5 dim: 2 dim: 3 dim: 3 } } }
        layer { name: "ip" type: "Convolution" bottom: "data" top: "a"
                convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: "xavier" } } }
        layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" %s }
        layer { name: "scale" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
        layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
        layer { name: "loss" type: "Reduction" bottom: "a" top: "loss" loss_weight: 1
                reduction_param { operation: SUMSQ } }""" % lr, caffe_pb2.NetParameter)
    return minicaffe.Net(param, phase, dtype=np.float64, seed=3)


def test_statistics_are_not_learnt_whether_the_file_says_so_or_not():
    for lr in "", "param { lr_mult: 0 }" * 3, "param { lr_mult: 0 }":
        built = net(lr)
        rates = dict(zip(map(id, built.learnable_params), built.params_lr))
        assert [rates[id(b)] for b in built.params["bn"]] == [0, 0, 0]


@pytest.mark.parametrize("param, index", [("param { lr_mult: 1 }", 0), ("param { decay_mult: 0 }", 0),
                                          ("param { lr_mult: 0 } param { lr_mult: 2 }", 1)])
def test_a_rate_for_the_statistics_is_refused(param, index):
    with pytest.raises(LayerError, match=rf"BatchNorm\): param {index} has lr_mult .* must be 0"):
        net(param)


def test_in_a_net_with_layers_in_place():
    built = net()
    built.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    results = check_net(built, samples=20)
    assert {r.layer for r in results} >= {"ip", "scale"}
    assert all(r.ok for r in results), results


def test_bottoms_that_do_not_fit():
    layer, bottom, top = make((2, 3))
    bottom[0].reshape(2, 4)
    with pytest.raises(LayerError, match=r"BatchNorm.*\(2, 4\) does not have the 3 channels"):
        layer.reshape(bottom, top)
    with pytest.raises(LayerError, match=r"BatchNorm.*\(0, 3\) has no mean: it is empty"):
        make((0, 3))


def test_bottom_may_change_its_shape(xp):
    layer, bottom, top = make((4, 3, 5), xp=xp)
    layer.forward(bottom, top)
    bottom[0].reshape(7, 3, 2, 2)
    bottom[0].data[...] = np.random.default_rng(5).normal(size=(7, 3, 2, 2))
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top)


one_dimensional = functools.partial(make, (6,))


def test_a_bottom_of_one_axis_is_one_channel(xp):
    layer, bottom, top = one_dimensional(xp=xp)
    assert [b.shape for b in layer.blobs] == [(1,)] * 3
    check_gradient(layer, bottom, top)
