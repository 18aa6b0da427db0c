"""CSR products of pruned layers, against the layers themselves."""

import numpy as np
import pytest
from helpers import make_layer
from numpy.testing import assert_allclose

from minicaffe.analysis.sparse_product import CsrProduct
from minicaffe.errors import Error


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias_term", [False, True])
def test_same_as_the_dense_layer(transpose, bias_term):
    layer, bottom, top = make_layer("InnerProduct", (3, 2, 4), num_output=5, transpose=transpose,
                                    bias_term=bias_term)
    w = layer.blobs[0]
    w.mask = abs(w.data) > 0.8
    layer.forward(bottom, top)
    product = CsrProduct(layer)
    assert product.nonzeros == (abs(w.data) > 0.8).sum() < w.size
    assert_allclose(product(bottom[0].data), top[0].data, rtol=1e-13, atol=1e-13)


def test_weights_and_biases_are_those_of_the_moment():
    layer, bottom, top = make_layer("InnerProduct", (3, 4), num_output=5)
    layer.forward(bottom, top)
    product = CsrProduct(layer)
    for blob in layer.blobs:
        blob.data = np.zeros(blob.shape)
    assert_allclose(product(bottom[0].data), top[0].data, rtol=1e-13)


def test_other_layers_are_refused():
    layer, _, _ = make_layer("BlockInnerProduct", (3, 4), num_output=4, num_blocks=2)
    with pytest.raises(Error, match="'layer' is of type BlockInnerProduct"):
        CsrProduct(layer)
