import functools
import itertools

import numpy as np
import pytest
from google.protobuf import text_format
from helpers import backward_once, check_gradient, make_layer, random_labels
from numpy.testing import assert_allclose, assert_array_equal

import minicaffe
from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError
from minicaffe.proto import caffe_pb2


def forward(layer, bottom, top):
    layer.forward(bottom, top)
    return to_numpy(top[0].data)


# ---- ArgMax

def largest(row, k):
    """Indices of the k largest; of equal ones the later first, as pairs (value, index) sort."""
    return [i for _, i in sorted(((v, i) for i, v in enumerate(row)), reverse=True)[:k]]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("out_max_val", [False, True])
def test_argmax_along_an_axis(xp, axis, top_k, out_max_val):
    x = np.random.default_rng(0).integers(3, size=(3, 4, 5)) * 1.5           # with ties
    y = forward(*make_layer("ArgMax", x.shape, xp=xp, values={0: x}, axis=axis, top_k=top_k,
                            out_max_val=out_max_val))
    rows, results = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    assert results.shape == (*rows.shape[:-1], top_k)
    for place in np.ndindex(rows.shape[:-1]):
        expected = largest(rows[place], top_k)
        assert_array_equal(results[place], rows[place][expected] if out_max_val else expected)


@pytest.mark.parametrize("shape", [(3, 7), (3, 2, 3), (3, 2, 2, 3), (3, 2, 2, 3, 2), (3,)])
@pytest.mark.parametrize("top_k", [1, 4])
@pytest.mark.parametrize("out_max_val", [False, True])
def test_argmax_over_all_but_the_first_axis(xp, shape, top_k, out_max_val):
    if shape == (3,):
        top_k = 1
    x = np.random.default_rng(0).integers(4, size=shape) * 1.5
    y = forward(*make_layer("ArgMax", shape, xp=xp, values={0: x}, top_k=top_k,
                            out_max_val=out_max_val))
    assert y.shape == (3, 1 + out_max_val, top_k) + (1,) * (len(shape) - 3)
    for row, result in zip(x.reshape(3, -1), y.reshape(3, 1 + out_max_val, top_k)):
        assert_array_equal(result[0], largest(row, top_k))
        if out_max_val:
            assert_array_equal(result[1], row[largest(row, top_k)])


@pytest.mark.parametrize("fields", [dict(top_k=0), dict(top_k=13), dict(axis=1, top_k=4)])
def test_argmax_top_k_out_of_range(xp, fields):
    with pytest.raises(LayerError, match=f"top_k {fields['top_k']} must be from 1 to"):
        make_layer("ArgMax", (2, 3, 4), xp=xp, **fields)


# ---- BatchReindex

def reindex(xp, indices, shape=(4, 2, 3)):
    return make_layer("BatchReindex", [shape, np.shape(indices)], xp=xp, values={1: indices})


@pytest.mark.parametrize("indices", [[2, 0, 1, 3], [1, 1, 3, 1, 0, 3], [2], []])
def test_batch_reindex(xp, indices):
    layer, bottom, top = reindex(xp, indices)
    x = to_numpy(bottom[0].data)
    y = forward(layer, bottom, top)
    assert y.shape == (len(indices), 2, 3)
    for row, i in zip(y, indices):
        assert_array_equal(row, x[i])
    check_gradient(layer, bottom, top)


@pytest.mark.parametrize("index", [4, -1, 1.5, np.nan])
def test_index_out_of_range(xp, index):
    layer, bottom, top = reindex(xp, [0, index])
    with pytest.raises(LayerError, match=r"BatchReindex\): index .* at \(1,\) .* from 0 to 3"):
        layer.forward(bottom, top)
        layer.check_device()
    layer, bottom, top = embed(xp, (2, 2), indices=[[0, 0], [index, 0]], input_dim=4)
    with pytest.raises(LayerError, match=r"Embed\): index .* at \(1, 0\) .* from 0 to 3"):
        layer.forward(bottom, top)
        layer.check_device()


def test_batch_reindex_errors(xp):
    with pytest.raises(LayerError, match="one axis of indices"):
        make_layer("BatchReindex", [(4, 2), (4, 1)], xp=xp)
    layer, bottom, top = reindex(xp, [0])
    with pytest.raises(LayerError, match="indices .* have no gradient"):
        layer.backward(top, [True, True], bottom)


# ---- Filter

def filter_layer(xp, selector, shapes=((5, 2, 3),), **options):
    shapes = [*shapes, np.shape(selector)]
    return make_layer("Filter", shapes, xp=xp, num_top=len(shapes) - 1,
                      values={len(shapes) - 1: selector}, **options)


@pytest.mark.parametrize("selector", [[1, 0, -2, 0.1, 0], [1] * 5, [0] * 5,
                                      [[0], [0], [3], [0], [1]]])
def test_filter(xp, selector):
    layer, bottom, top = filter_layer(xp, selector, [(5, 2, 3), (5,)])
    assert top[0].shape == (5, 2, 3)
    layer.forward(bottom, top)
    kept = [i for i, s in enumerate(np.ravel(selector)) if s != 0]
    for b, t in zip(bottom, top):
        assert t.shape == (len(kept), *b.shape[1:])
        assert_array_equal(to_numpy(t.data), to_numpy(b.data)[kept])
    if kept:
        check_gradient(layer, bottom, top)


def test_filter_in_a_net_changes_its_size_with_the_selector():
    param = text_format.Parse("""
        layer { name: 'in' type: 'Input' top: 'x' top: 's'
                input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
        layer { name: 'filter' type: 'Filter' bottom: 'x' bottom: 's' top: 'y' }
        layer { name: 'z' type: 'ReLU' bottom: 'y' top: 'z' }""", caffe_pb2.NetParameter())
    net, x = minicaffe.Net(param, minicaffe.TEST), np.arange(12).reshape(4, 3) + 1
    for selector in [0, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]:
        out = net.forward(x=x, s=selector)
        assert_array_equal(out["z"], x[np.array(selector, bool)])


def test_filter_errors(xp):
    with pytest.raises(LayerError, match="need 1 tops, not 2"):
        make_layer("Filter", [(4, 2), (4,)], xp=xp, num_top=2)
    with pytest.raises(LayerError, match=r"one number a sample, its shape is \(4, 2\)"):
        make_layer("Filter", [(4, 2), (4, 2)], xp=xp)
    with pytest.raises(LayerError, match=r"bottom 0 of shape \(3, 2\) .* the selector's 4 samples"):
        make_layer("Filter", [(3, 2), (4,)], xp=xp)
    layer, bottom, top = filter_layer(xp, [1, 0, 1, 0, 0])
    with pytest.raises(LayerError, match="selector .* has no gradient"):
        layer.backward(top, [True, True], bottom)


# ---- Embed

def embed(xp, shape, indices=None, input_dim=6, **fields):
    indices = random_labels(shape, input_dim) if indices is None else indices
    return make_layer("Embed", shape, xp=xp, values={0: indices}, input_dim=input_dim,
                      num_output=3, **fields)


@pytest.mark.parametrize("shape", [(10,), (3, 4), (2, 1, 3), ()])
@pytest.mark.parametrize("bias_term", [True, False])
class TestEmbed:
    def test_forward_is_the_product_with_one_hot_vectors(self, xp, shape, bias_term):
        layer, bottom, top = embed(xp, shape, bias_term=bias_term)
        one_hot = np.eye(6)[to_numpy(bottom[0].data).astype(int)]
        expected = one_hot @ to_numpy(layer.blobs[0].data)
        if bias_term:
            expected = expected + to_numpy(layer.blobs[1].data)
        assert_allclose(forward(layer, bottom, top), expected, rtol=1e-13)

    def test_gradient(self, xp, shape, bias_term):
        check_gradient(*embed(xp, shape, bias_term=bias_term))


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=2)))
def test_embed_computes_only_what_is_asked_for(xp, flags):
    layer, bottom, top = embed(xp, (4,))
    layer.param_propagate_down = list(flags)
    for flag, diff in zip(flags, backward_once(layer, bottom, top)[1:]):
        assert diff.any() == flag


def test_embed_errors(xp):
    make = functools.partial(make_layer, "Embed", (4,), xp=xp)
    with pytest.raises(LayerError, match="num_output 0 must be positive"):
        make(input_dim=3)
    with pytest.raises(LayerError, match="input_dim 0 must be positive"):
        make(num_output=3)
    layer, bottom, top = embed(xp, (4,))
    layer.forward(bottom, top)
    with pytest.raises(LayerError, match="indices .* have no gradient"):
        layer.backward(top, [True], bottom)
