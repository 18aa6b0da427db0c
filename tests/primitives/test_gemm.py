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


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("B, m, k, n", [(1, 4, 5, 6), (3, 7, 2, 5), (8, 1, 1, 3)])
def test_batches_in_place_in_the_column_blocks_of_matrices(B, m, k, n, add):
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(m, B * k)), rng.normal(size=(B, n, k)), rng.normal(size=(m, B * n))
    expected = np.hstack([x[:, i * k:(i + 1) * k] @ w[i].T for i in range(B)]) + (y if add else 0)
    batched_matmul(np, x.reshape(m, B, k).swapaxes(0, 1), w.swapaxes(1, 2),
                   out=y.reshape(m, B, n).swapaxes(0, 1), add=add)
    assert_allclose(y, expected, rtol=1e-12)
