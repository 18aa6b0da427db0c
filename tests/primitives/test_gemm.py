import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.primitives import parallel
from minicaffe.primitives.gemm import batched_matmul, matmul


def matrix(rng, rows, columns, transposed=False):
    a = rng.normal(size=(columns, rows) if transposed else (rows, columns))
    return a.T if transposed else a


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 700), st.integers(1, 90), st.integers(1, 700), st.booleans(), st.booleans())
def test_equals_numpy(m, k, n, a_transposed, b_transposed):
    rng = np.random.default_rng(0)
    a, b = matrix(rng, m, k, a_transposed), matrix(rng, k, n, b_transposed)
    out = np.full((m, n), np.nan)
    matmul(np, a, b, out=out)
    assert_allclose(out, a @ b, rtol=1e-10, atol=1e-10)


def test_out_may_be_a_view():
    rng = np.random.default_rng(0)
    a, b = matrix(rng, 300, 200), matrix(rng, 200, 150)
    whole = np.zeros((300, 400))
    matmul(np, a, b, out=whole[:, 100:250])
    assert_allclose(whole[:, 100:250], a @ b, rtol=1e-10, atol=1e-10)
    assert not whole[:, :100].any() and not whole[:, 250:].any()


@pytest.mark.parametrize("m, n", [(640, 100), (100, 640)])
def test_the_pieces_do_not_depend_on_the_number_of_threads(monkeypatch, m, n):
    rng = np.random.default_rng(0)
    a, b = (matrix(rng, *s).astype(np.float32) for s in ((m, 333), (333, n)))
    results = []
    for number in (1, 2, 3):
        monkeypatch.setattr(parallel, "_pool", None)
        monkeypatch.setattr(parallel, "num_threads", number)
        out = np.empty((m, n), np.float32)
        with parallel.one_blas_thread():
            matmul(np, a, b, out=out)
        results.append(out)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def side_by_side(x, B):
    """The column blocks of x (M, B k) as (B, M, k)."""
    return x.reshape(len(x), B, x.shape[1] // B).swapaxes(0, 1)


def block_products(B, M, K, N, dtype=np.float64):
    """[(out, a, b, expected)] of y = x w^T, dw = dy^T x, dx = dy w with B blocks w_i (N, K)."""
    rng = np.random.default_rng(0)
    x, y, w = (rng.normal(size=s).astype(dtype) for s in ((M, B * K), (M, B * N), (B, N, K)))
    x_i, y_i = np.split(x, B, axis=1), np.split(y, B, axis=1)
    new = [np.full_like(a, 3) for a in (y, w, x)]
    return [(new[0], side_by_side(new[0], B), side_by_side(x, B), w.swapaxes(1, 2),
             np.hstack([a @ b.T for a, b in zip(x_i, w)])),
            (new[1], new[1], side_by_side(y, B).swapaxes(1, 2), side_by_side(x, B),
             np.stack([a.T @ b for a, b in zip(y_i, x_i)])),
            (new[2], side_by_side(new[2], B), side_by_side(y, B), w,
             np.hstack([a @ b for a, b in zip(y_i, w)]))]


def check_block_products(*sizes, rtol=1e-10, **options):
    for add in False, True:
        for whole, out, a, b, expected in block_products(*sizes, **options):
            batched_matmul(np, a, b, out=out, add=add)
            assert_allclose(whole, expected + 3 if add else expected, rtol=rtol, atol=rtol)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))
def test_products_of_many_small_blocks(B, M, K, N):
    check_block_products(B, M, K, N)


# 100 x 5 x 8: groups, the last not full; 3 x 400 x 400: each cut; 17 x 150 x 110: ranges of them
@pytest.mark.parametrize("B, M, K, N", [(100, 64, 8, 5), (1023, 10, 1, 1), (513, 50, 4, 4),
                                        (64, 100, 16, 1), (3, 64, 400, 401), (1, 300, 90, 600),
                                        (17, 64, 150, 110), (5, 1, 3, 2), (2, 0, 3, 2)])
def test_products_of_blocks_of_all_sizes(B, M, K, N):
    check_block_products(B, M, K, N)
    check_block_products(B, M, K, N, dtype=np.float32, rtol=2e-3)


def test_batches_of_any_strides():
    rng = np.random.default_rng(0)
    whole = np.zeros((7, 9, 30))
    a, b = rng.normal(size=(12, 7, 9))[::2].swapaxes(0, 1), rng.normal(size=(7, 9, 5))
    a = np.ascontiguousarray(a)[:, ::2]                      # (7, 3, 9)
    for add in False, True:
        whole[...] = 1
        batched_matmul(np, a, b, out=whole[:, 1:7:2, 4:9], add=add)
        assert_allclose(whole[:, 1:7:2, 4:9], np.einsum("bij,bjk->bik", a, b) + add, rtol=1e-10)
        assert whole.sum() == pytest.approx(whole[:, 1:7:2, 4:9].sum() + whole.size - 105)


@pytest.mark.parametrize("B, M, K, N", [(1030, 100, 4, 4), (3, 100, 300, 200), (40, 100, 70, 90)])
def test_ranges_of_blocks_do_not_depend_on_the_number_of_threads(monkeypatch, B, M, K, N):
    results = []
    for number in (1, 2, 3):
        monkeypatch.setattr(parallel, "_pool", None)
        monkeypatch.setattr(parallel, "num_threads", number)
        for whole, out, a, b, expected in block_products(B, M, K, N, np.float32):
            with parallel.one_blas_thread():
                batched_matmul(np, a, b, out=out, add=True)
            results.append(whole)
    for one, two, three in zip(results[:3], results[3:6], results[6:]):
        assert_array_equal(one, two)
        assert_array_equal(one, three)


def test_small_blocks_allocate_no_array_of_a_matrix_size(monkeypatch):
    monkeypatch.setattr(parallel, "num_threads", 1)          # NumPy's buffers, 66 kB, are one a thread
    for _, out, a, b, _ in block_products(256, 100, 16, 16, np.float32):
        batched_matmul(np, a, b, out=out, add=True)          # makes this thread's scratch memory
        tracemalloc.start()
        batched_matmul(np, a, b, out=out, add=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000                                # w has 262 kB, x 1.6 MB
