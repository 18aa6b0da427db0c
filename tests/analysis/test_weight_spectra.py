import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from minicaffe.analysis.redundancy import power_law
from minicaffe.analysis.weight_spectra import initial_variance, spectrum, table
from minicaffe.errors import Error
from minicaffe.fillers import fill
from minicaffe.blob import Blob
from minicaffe.proto import caffe_pb2

FILLERS = [{"type": "xavier"}, {"type": "xavier", "variance_norm": "AVERAGE"}, {"type": "msra"},
           {"type": "gaussian", "std": 0.3}, {"type": "uniform", "min": -1, "max": 1},
           {"type": "msra", "variance_norm": "FAN_OUT"}]


def layer(kind="InnerProduct", filler=None, **fields):
    message = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param",
               "BlockInnerProduct": "block_inner_product_param"}[kind]
    return caffe_pb2.LayerParameter(name="it", type=kind, **{
        message: {**fields, "weight_filler": filler or {"type": "xavier"}}})


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("kind, shape", [("InnerProduct", (300, 500)), ("Convolution", (60, 50, 5, 5))])
def test_initial_variance_is_that_of_the_filler(kind, shape, filler):
    param = layer(kind, filler)
    message = param.inner_product_param if kind == "InnerProduct" else param.convolution_param
    blob = Blob(shape, np.float64)
    fill(blob, message.weight_filler, np.random.default_rng(0))
    assert initial_variance(param, shape) == pytest.approx(blob.data.var(), rel=0.02)


@pytest.mark.parametrize("filler", [{"type": "constant", "value": 1}, {"type": "orthogonal"}])
def test_other_fillers_have_none(filler):
    assert initial_variance(layer(filler=filler), (3, 4)) is None


def test_random_weights_stay_within_the_law_and_a_spike_does_not():
    W = np.random.default_rng(1).normal(0, np.sqrt(1 / 500), (300, 500))
    found = spectrum(layer(), W)
    assert found.shape == (300, 500) and found.initial == pytest.approx(1) and found.beyond <= 2
    assert_allclose(found.eigenvalues, np.linalg.eigvalsh(W @ W.T)[::-1], rtol=1e-9)
    W[0] += 1
    W[1, ::2] -= 1
    assert spectrum(layer(), W).beyond == 2 + found.beyond


def test_transposed_weights_have_the_same_units():
    W = np.random.default_rng(2).normal(size=(30, 50))
    one, other = spectrum(layer(), W), spectrum(layer(transpose=True), W.T)
    assert one.shape == other.shape == (30, 50)
    assert_allclose(one.eigenvalues, other.eigenvalues, rtol=1e-9)


def test_power_law_of_a_convolution_is_of_its_slices_together():
    kernels = np.random.default_rng(3).standard_t(2, size=(16, 12, 3, 3))
    found = spectrum(layer("Convolution"), kernels)
    values = [np.linalg.svd(kernels[:, :, i, j], compute_uv=False) ** 2
              for i in range(3) for j in range(3)]
    assert found.shape == (16, 108) and found.fit == power_law(np.concatenate(values))
    pointwise = spectrum(layer("Convolution"), kernels[:, :, :1, :1])
    assert pointwise.fit == power_law(values[0])


@pytest.mark.parametrize("sizes", [[(5, 8)] * 40, [(5, 8), (9, 4), (5, 8), (3, 30)]])
def test_blocks_are_a_block_diagonal_matrix(sizes):
    rng = np.random.default_rng(5)
    blocks = [rng.normal(0, k ** -0.5, (n, k)) for n, k in sizes]
    W = scipy.linalg.block_diag(*blocks)
    found, dense = spectrum(layer("BlockInnerProduct"), blocks), spectrum(layer(), W)
    assert found.shape == dense.shape == W.shape
    assert_allclose(found.eigenvalues, dense.eigenvalues, atol=1e-12)
    for name, value in dense.measures.items():
        assert found.measures[name] == pytest.approx(value), name
    assert found.variance == pytest.approx(np.concatenate([b.ravel() for b in blocks]).var())
    assert found.inputs == pytest.approx(sum(n * k for n, k in sizes) / len(W))


def test_random_blocks_stay_within_their_law_and_a_spike_does_not():
    rng = np.random.default_rng(6)
    blocks = [rng.normal(0, 150 ** -0.5, (100, 150)) for _ in range(3)]
    blocks.append(rng.normal(0, 400 ** -0.5, (50, 400)))
    found = spectrum(layer("BlockInnerProduct"), blocks)
    assert [share for share, _ in found.laws] == [300 / 350, 50 / 350]
    assert found.initial == pytest.approx(1)
    edges = sorted({law.b for _, law in found.laws})
    assert found.beyond <= 2 and found.eigenvalues[0] == pytest.approx(edges[1], rel=0.05)
    blocks[3][0] *= 1.6                     # beyond its own block's law, within that of the others
    spiked = spectrum(layer("BlockInnerProduct"), blocks)
    assert spiked.eigenvalues[0] == found.eigenvalues[0] and spiked.beyond > found.beyond


def test_table():
    rows = [spectrum(layer(), np.random.default_rng(4).normal(size=(30, 40))),
            spectrum(layer(filler={"type": "constant"}), np.eye(2))]
    lines = table(rows)
    assert lines[0].split()[:3] == ["layer", "shape", "Q"] and len(set(map(len, lines))) == 1
    assert lines[2].split() == ["it", *"2 x 2".split(), "1", "0.5", "-", "-", "1.414", "1", "2", "2", "1",
                                "-", "-", "-"]


def test_weights_that_are_not_finite():
    with pytest.raises(Error, match="layer 'it': its weights are not finite"):
        spectrum(layer(), np.full((2, 2), np.nan))
