"""The arithmetic of the figures on sparse orthogonal layers; the goals of Table 4.1."""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from figures.sao import common, fig4_2, fig4_9, fig4_23, fig4_24, fig4_25, layer_spectra, table4_1
from minicaffe.analysis.isometry import same_distribution


def test_largest_of_several_arrays():
    weights = [np.array([[0.1, -5], [2, 0]]), np.array([[-3.0, 0.2, 4]])]
    first, second = common.largest(weights, 3)
    assert (first == [[False, True], [False, False]]).all()
    assert (second == [[True, False, True]]).all()


@pytest.mark.parametrize("method", ["LMP", "LRP", "RG"])
def test_masks(method):
    mask = common.sparse_mask(method, 64, 4, np.random.default_rng(0))
    assert mask.dtype == bool and mask.sum() == 4 * 64
    assert ((mask.sum(axis=0) == 4).all() and (mask.sum(axis=1) == 4).all()) == (method == "RG")


def test_masked_chain_computes_with_its_masks():
    rng = np.random.default_rng(1)
    masks = [rng.random((5, 8)) < 0.5, rng.random((3, 5)) < 0.5]
    net = common.masked_chain(masks)
    weights = [rng.normal(size=mask.shape) for mask in masks]
    for i, (w, mask) in enumerate(zip(weights, masks), 1):
        net.params[f"ip{i}"][0].data = w * mask
        assert (net.params[f"ip{i}"][0].mask == mask).all()
    x = rng.normal(size=(1, 8))
    expected = np.tanh(np.tanh(x @ (weights[0] * masks[0]).T) @ (weights[1] * masks[1]).T)
    net.blobs["x"].data = x
    assert_allclose(net.forward()[net.outputs[0]], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (1, 1)])
def test_packed_matrices(shape):
    matrix = np.random.default_rng(2).random(shape) < 0.3
    packed = common.pack(matrix)
    assert packed["shape"] == list(shape) and (common.unpack(packed) == matrix).all()


def test_notes():
    notes = common.notes_for({"smoke": 8, "quick": 64, "full": 64})
    assert notes("full") == notes("quick") == []
    assert notes("smoke") == ["scale smoke: width 8 in place of 64"]


def test_global_magnitude_leaves_the_same_share_of_all_layers_together():
    """Weights of wider orthogonal layers are smaller: more of the symmetric layers stays."""
    masks = fig4_9.global_magnitude((64, 32, 32), np.random.default_rng(3))
    shares = [mask.mean() for mask in masks]
    assert len(masks) == 49 and masks[0].shape == (32, 32)
    assert len(set(shares)) > 10 and np.mean(shares) > 4 / 32


def test_gap_of_a_curve():
    """Of RG, by its degree: 2 sqrt(d - 1), less d with multiplicity."""
    curve = fig4_2._curve("RG", 64, 1, np.random.default_rng(4))
    degrees = np.array([32, 16, 8, 4, 2])
    assert_allclose(curve["sparsity"], 100 - 100 * degrees / 64)
    assert_allclose(np.ravel(curve["gap"]), 2 * np.sqrt(degrees - 1))
    assert_allclose(curve["multiple_gap"], 2 * np.sqrt(degrees - 1) - degrees, atol=1e-8)


@pytest.mark.parametrize("method", ["dense", "SAO"])
def test_orthogonal_layers_have_the_slopes_of_the_activation(method):
    """D W has the singular values D, D the activation's slopes; in float32, to 1e-5."""
    layers = layer_spectra.Layers(64)
    rng = np.random.default_rng(5)
    W, x = layer_spectra.weights(method, 64, rng), rng.normal(size=64)
    h = W @ x
    sigmoid = 1 / (1 + np.exp(-h))
    slopes = {"linear": np.ones(64), "Tanh": 1 - np.tanh(h) ** 2, "ReLU": h > 0,
              "SiLU": sigmoid + h * sigmoid * (1 - sigmoid)}
    for activation, slope in slopes.items():
        found = layers.values(activation, W, x)
        assert_allclose(found, np.sort(np.abs(slope))[::-1], atol=1e-5)


@pytest.mark.parametrize("method", ["RG", "LMP", "LRP"])
def test_pruned_layers(method):
    W = layer_spectra.weights(method, 32, np.random.default_rng(6))
    assert np.count_nonzero(W) == 64
    values = layer_spectra.Layers(32).values("linear", W, np.zeros(32))
    assert_allclose(values, scipy.linalg.svdvals(W), atol=1e-6)


def test_goals_of_table_4_1():
    """At full width: SAO above 0.05, RG, LMP and LRP below 1e-20, whatever the activation."""
    for activation, values in layer_spectra.distributions("full", common.SEED).items():
        p = {method: same_distribution(values[method], values["dense"]) for method in values}
        assert p["dense"] == 1 and p["SAO"] > 0.05, activation
        assert max(p[method] for method in ("RG", "LMP", "LRP")) < 1e-20, activation
    assert set(table4_1.PAPER) == set(layer_spectra.SPARSE)


@pytest.mark.parametrize("module, arrays", [
    (fig4_23, {"nnz": range(1, 9), "col": [0, 2, 3, 1, 2, 2, 3, 1], "rowptr": [0, 3, 5, 7, 8]}),
    (fig4_24, {"nnz": range(1, 9), "col": [0, 1, 2, 3], "deg": [2]})])
def test_storage_examples(module, arrays):
    """The thesis's matrices of 8 letters, 1 to 8 here, in its two formats."""
    numbers = module.measure("full", None)
    assert {name: list(a) for name, a in numbers["arrays"].items()} == {
        name: list(a) for name, a in arrays.items()}
    assert numbers["restored"] and numbers["numbers"] == sum(map(len, arrays.values()))


def test_storage_by_hand():
    """1024 x 1024 of degree 4: 4096 weights."""
    numbers = fig4_25.measure("full", None)
    i = numbers["degree"].index(4)
    assert [numbers[name][i] for name in ("CSR", "compact", "blocks")] == [9217, 5121, 6144]
