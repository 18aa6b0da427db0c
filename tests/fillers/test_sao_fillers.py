import math

import numpy as np
import pytest
from filler_helpers import filled, layer_on, operator, singular_values, values
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from minicaffe import backend
from minicaffe.errors import Error
from minicaffe.structured.ramanujan import find_structure, structure

# m, n, degree, other degree
SHAPES = [(8, 8, 2, 2), (8, 16, 4, 2), (16, 8, 4, 2), (4, 8, 2, 1), (8, 4, 2, 1),
          (100, 100, 10, 10)]


def check_degrees(mask, degree, other):
    row, column = (degree, other) if mask.shape[0] <= mask.shape[1] else (other, degree)
    assert_array_equal(mask.sum(axis=1), row)
    assert_array_equal(mask.sum(axis=0), column)
    assert len(find_structure(mask).layout.outputs) == max(mask.shape) // degree


@pytest.mark.parametrize("m, n, degree, other", SHAPES)
class TestSao:
    @pytest.mark.parametrize("dtype, atol", [(np.float64, 1e-12), (np.float32, 1e-5)])
    def test_singular_values_are_the_gain(self, xp, m, n, degree, other, dtype, atol):
        for gain in 1, 1.5:
            w, _ = values("sao", (m, n), dtype=dtype, degree=degree, gain=gain)
            assert w.dtype == dtype
            assert_allclose(singular_values(w), gain, rtol=0, atol=atol)

    def test_mask_is_the_structure(self, xp, m, n, degree, other):
        for name in "sao", "ramanujan":
            w, mask = values(name, (m, n), degree=degree)
            check_degrees(mask, degree, other)
            assert_array_equal(w != 0, mask)

    def test_sparsity_instead_of_degree(self, m, n, degree, other):
        """As float32, which is what the field holds."""
        sparsity = 1 - degree / max(m, n)
        for name in "sao", "ramanujan":
            assert_array_equal(values(name, (m, n), sparsity=sparsity)[0],
                               values(name, (m, n), degree=degree)[0])

    def test_variants(self, m, n, degree, other):
        """Two layers of one net: a generator that goes on from the first to the second."""
        blocks = {}
        for variant in 1, 2, 3:
            seed = {} if variant == 3 else {"structure_seed": 5}
            nets = [values("sao", (m, n), seed=s, degree=degree, variant=variant, **seed)
                    for s in (1, 2)]
            masks = [mask for _, mask in nets]
            assert (masks[0] == masks[1]).all() == (variant != 3)
            if variant != 3:
                fixed = structure(m, n, degree, np.random.default_rng(5)).mask()
                assert_array_equal(masks[0], fixed)
            blocks[variant] = distinct_blocks(nets[0][0])
            assert (abs(nets[0][0][masks[0]]) != abs(nets[1][0][masks[1]])).any()
        number = max(m, n) // degree
        assert [len(blocks[v]) for v in (1, 2, 3)] == [number, 1, number]


def distinct_blocks(matrix):
    found = find_structure(matrix)
    blocks = matrix[found.rows][:, found.columns]
    return {block.tobytes() for block in found.layout.diagonal(blocks)}


def test_a_structure_seed_is_of_its_own():
    """Structures of variant 1 depend on it alone; layers of another seed or shape have others."""
    masks = [values("sao", (64, 64), degree=4, variant=1, structure_seed=s)[1] for s in (0, 0, 1)]
    assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert_array_equal(masks[0], values("ramanujan", (64, 64), degree=4, variant=1)[1])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("num_output", [8, 16, 4])
def test_inner_product_keeps_norms(xp, num_output, transpose):
    """The filler can't know of transpose, and need not."""
    W = operator("InnerProduct", (8,), num_output=num_output, bias_term=False,
                 transpose=transpose, weight_filler={"type": "sao", "sparsity": 0.75})
    product = W.T @ W if num_output >= 8 else W @ W.T
    assert_allclose(product, np.eye(min(8, num_output)), atol=1e-12)
    check_degrees(W != 0, max(8, num_output) // 4, min(8, num_output) // 4)


def test_first_layer_of_mlp_7():
    """100 x 1024 cut from 100 x 1100: the rows are orthogonal, a tenth of the entries is there."""
    w, mask = values("sao", (100, 1024), degree=110, crop=True, dtype=np.float32)
    assert_allclose(singular_values(w), 1, rtol=0, atol=1e-5)
    assert_array_equal(mask, w != 0)
    assert mask.mean() == 0.1
    w, mask = values("ramanujan", (1024, 100), degree=110, crop=True)
    assert_array_equal(mask, w != 0)


# ---- ReLU form

@pytest.mark.parametrize("m, n, degree, other", [(8, 8, 4, 4), (8, 16, 4, 2), (16, 8, 8, 4)])
def test_relu_form(xp, m, n, degree, other):
    """Of the degree asked for, as a whole."""
    w, mask = values("sao", (m, n), degree=degree, relu=True, gain=2)
    half = w[:m // 2, :n // 2]
    assert_array_equal(w, np.block([[half, -half], [-half, half]]))
    assert_allclose(singular_values(half), 2, atol=1e-12)
    assert_array_equal(mask, w != 0)
    check_degrees(mask, degree, other)
    kernels, mask = values("sao_delta", (m, n, 3, 3), degree=degree, relu=True, gain=2)
    assert_array_equal(kernels[:, :, 1, 1], w)
    assert_array_equal(mask[:, :, 0, 2], w != 0)


def test_cropped_relu_form():
    """Quarters of 4 x 11, cut from 4 x 12 of degree 3."""
    w, mask = values("sao", (8, 22), degree=6, relu=True, crop=True)
    assert_array_equal(mask, w != 0)
    assert_array_equal(mask.sum(axis=0), 2)
    assert sorted(mask.sum(axis=1)) == [4, 4, 6, 6, 6, 6, 6, 6]
    assert_allclose(singular_values(w[:4, :11]), 1, atol=1e-12)


def test_sparsity_of_what_is_cropped():
    """The thesis's first layer of MLP-7; quarters of 4 x 11, cut from 4 x 12 of 2 blocks."""
    w, mask = values("sao", (100, 1024), sparsity=0.9, crop=True)
    assert_array_equal(mask.sum(axis=0), 10)
    assert_allclose(singular_values(w), 1, atol=1e-12)
    _, mask = values("sao", (8, 22), sparsity=0.5, relu=True, crop=True)
    assert_array_equal(mask.sum(axis=0), 4)


def test_sparsity_of_the_relu_form():
    _, mask = values("sao", (64, 64), sparsity=0.9375, relu=True)
    check_degrees(mask, 4, 4)


def test_relu_net_keeps_norms():
    """Ten layers of InnerProduct and ReLU on pairs (max(u, 0), max(-u, 0))."""
    u = np.random.default_rng(5).normal(size=(3, 16))
    x = np.maximum(np.concatenate([u, -u], axis=1), 0)
    for _ in range(10):
        layer, bottom, top = layer_on("InnerProduct", x.shape, num_output=32, bias_term=False,
                                      weight_filler={"type": "sao", "relu": True, "degree": 8})
        bottom[0].data = x
        layer.forward(bottom, top)
        x = np.maximum(top[0].data, 0)
    assert_allclose(np.linalg.norm(x, axis=1), np.linalg.norm(u, axis=1), rtol=1e-5)


# ---- RG-U and RG-N

@pytest.mark.parametrize("kind, name", [(0, "uniform"), (1, "norm")])
@pytest.mark.parametrize("m, n, degree", [(512, 512, 4), (256, 512, 8), (512, 256, 8)])
def test_ramanujan_values(m, n, degree, kind, name):
    """Distribution, variance 1 / degree, singular values: squares of mean gain^2, widely spread."""
    w, mask = values("ramanujan", (m, n), degree=degree, values=kind, gain=1.1)
    std = 1.1 / math.sqrt(degree)
    law = stats.norm(0, std) if name == "norm" else \
        stats.uniform(-std * math.sqrt(3), 2 * std * math.sqrt(3))
    assert stats.kstest(w[mask], law.cdf).pvalue > 0.01
    s = singular_values(w)
    count = mask.sum()
    assert abs((s ** 2).mean() / 1.21 - 1) < 4 * math.sqrt(2 / count)
    assert 0.7 < s.mean() / 1.1 < 1 and s.std() > 0.2


def test_ramanujan_with_one_block():
    """Variant 2: all blocks alike."""
    w, _ = values("ramanujan", (8, 16), degree=4, variant=2)
    assert len(distinct_blocks(w)) == 1
    assert len(distinct_blocks(values("ramanujan", (8, 16), degree=4)[0])) == 4


# ---- kernels

@pytest.mark.parametrize("m, n, degree, other", SHAPES)
@pytest.mark.parametrize("size, centre", [((3, 3), (1, 1)), ((4, 4), (2, 2)), ((1, 1), (0, 0))])
def test_sao_delta(xp, m, n, degree, other, size, centre):
    w, mask = values("sao_delta", (m, n, *size), degree=degree)
    middle = w[(..., *centre)]
    assert_array_equal(middle, values("sao", (m, n), degree=degree)[0])
    assert_allclose(singular_values(middle), 1, atol=1e-12)
    for place in np.ndindex(size):
        assert_array_equal(mask[(..., *place)], middle != 0)
        assert place == centre or not w[(..., *place)].any()


@pytest.mark.parametrize("c_in, c_out", [(8, 8), (8, 16), (16, 8)])
def test_sao_delta_convolution_keeps_norms(xp, c_in, c_out):
    W = operator("Convolution", (c_in, 3, 3), np.float32, num_output=c_out, kernel_size=[3],
                 pad=[1], bias_term=False, weight_filler={"type": "sao_delta", "sparsity": 0.75})
    product = W.T @ W if c_in <= c_out else W @ W.T
    assert_allclose(product, np.eye(9 * min(c_in, c_out)), atol=1e-5)


# ---- back ends and errors

@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
@pytest.mark.parametrize("name, shape", [("sao", (8, 16)), ("ramanujan", (8, 16)),
                                         ("sao_delta", (8, 16, 3, 3))])
def test_every_back_end_has_the_same_values(xp, name, shape):
    on_gpu = values(name, shape, dtype=np.float32, degree=4)
    backend.set_mode_cpu()
    on_cpu = values(name, shape, dtype=np.float64, degree=4)
    assert_array_equal(on_gpu[0], on_cpu[0].astype(np.float32))
    assert_array_equal(on_gpu[1], on_cpu[1])


@pytest.mark.parametrize("name, shape, fields, message", [
    ("sao", (8, 8), {}, "needs either degree or sparsity"),
    ("sao", (8, 8), {"degree": 2, "sparsity": 0.75}, "needs either degree or sparsity"),
    ("sao", (8, 8), {"degree": 3}, "degree 3 does not fit .* 8 and 8: it can be 1, 2, 4, 8"),
    ("sao", (8, 8), {"degree": 0}, "degree 0 does not fit"),
    ("sao", (8, 8), {"sparsity": 0.8}, r"sparsity 0.8 does not fit .*0.75 \(degree 2\)"),
    ("sao", (8, 8, 3, 3), {"degree": 2}, "needs a matrix"),
    ("sao", (8, 8), {"degree": 2, "variant": 4}, "variant 4 must be 1, 2 or 3"),
    ("sao", (8, 8), {"degree": 2, "structure_seed": 4}, "structure_seed is for variants 1 and 2"),
    ("sao", (8, 8), {"degree": 2, "values": 1}, "values is for other fillers"),
    ("sao", (8, 7), {"degree": 8, "relu": True}, "relu needs even numbers .*, not 8 and 7"),
    ("sao", (8, 8), {"degree": 1, "relu": True},
     r"degree 1 does not fit four quarters of 4 x 4 \(relu\): it can be 2, 4, 8"),
    ("sao", (8, 12), {"degree": 4, "relu": True}, "degree 4 .*of 4 x 6 .*: it can be 6, 12"),
    ("sao", (4, 11), {"degree": 3, "crop": True, "variant": 2}, "blocks of different shapes"),
    ("sao", (8, 12), {"sparsity": 0.875}, "it can be 0.75 .*; with `crop`"),
    ("sao", (8, 12), {"sparsity": 0.8, "crop": True}, r"it can be 0.875 \(degree 2\), 0.75 .*\)$"),
    ("sao", (8, 16), {"sparsity": 0.8, "relu": True},
     r"does not fit a matrix of 8 x 16: it can be 0.75 \(degree 4\), 0.5 \(degree 8\), 0 "),
    ("ramanujan", (8, 8), {"degree": 2, "relu": True}, "relu is for other fillers"),
    ("sao_delta", (8, 8), {"degree": 2}, "a convolution's weights"),
    ("sao_delta", (8, 8, 3, 3), {"degree": 2, "values": 0}, "values is for other fillers")])
def test_what_does_not_fit(name, shape, fields, message):
    with pytest.raises(Error, match=f"filler '{name}': .*{message}"):
        filled(name, shape, **fields)
