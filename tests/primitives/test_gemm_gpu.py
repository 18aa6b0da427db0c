"""What cuBLAS is told of a product, on NumPy's arrays: a recorder stands for the binding, and its
arguments are evaluated as a BLAS would, from addresses. Every array lies in a larger one of NaNs,
so that a step that is wrong reads or overwrites one of them."""

import ctypes
import functools
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe import backend
from minicaffe.errors import Error
from minicaffe.primitives import gemm

NOT_NUMPY = object()                 # the array module of a device: gemm needs nothing of it


class Device:
    """A NumPy view as a device array looks: its memory has an address only."""

    def __init__(self, view):
        self.view = view
        self.shape, self.strides, self.dtype = view.shape, view.strides, view.dtype
        self.ndim, self.size, self.itemsize = view.ndim, view.size, view.itemsize
        self.data = SimpleNamespace(ptr=view.ctypes.data)

    def fill(self, value):
        self.view[...] = value


class Recorder:
    """CuPy's cuBLAS binding, four functions of it: keeps the calls, and carries them out."""

    def __init__(self):
        self.calls = []

    def _run(self, kind, transa, transb, m, n, k, alpha, A, lda, step_a, B, ldb, step_b, beta, C,
             ldc, step_c, batch):
        number = {"s": ctypes.c_float, "d": ctypes.c_double}[kind]
        size = ctypes.sizeof(number)

        def at(address, i=0):
            return number.from_address(address + i * size)

        assert at(alpha).value == 1 and at(beta).value in (0, 1)
        assert lda >= max(1, k if transa else m) and ldb >= max(1, n if transb else k)
        assert ldc >= max(1, m)
        for p, i, j in itertools.product(range(batch), range(m), range(n)):
            total = sum(at(A, p * step_a + (i * lda + q if transa else i + q * lda)).value
                        * at(B, p * step_b + (q * ldb + j if transb else q + j * ldb)).value
                        for q in range(k))
            entry = at(C, p * step_c + i + j * ldc)
            entry.value = total + (entry.value if at(beta).value else 0)

    def _plain(self, kind, handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        self.calls.append(f"{kind}gemm")
        self._run(kind, transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc, 0, 1)

    def _batched(self, kind, handle, *arguments):
        self.calls.append(f"{kind}gemmStridedBatched")
        self._run(kind, *arguments)

    def __getattr__(self, name):
        run = self._batched if name[1:] == "gemmStridedBatched" else self._plain
        assert name[1:] in ("gemm", "gemmStridedBatched")
        return lambda *arguments: run(name[0], *arguments)


def in_nans(rng, shape, dtype, order, gap):
    """(the NaNs, a view of them of that shape): order is of the axes in memory, with a gap."""
    sizes = [shape[axis] + gap for axis in order]
    whole = np.full((sizes[0] + 2, *sizes[1:]), np.nan, dtype)
    view = whole[(slice(1, 1 + shape[order[0]]), *(slice(0, shape[axis]) for axis in order[1:]))]
    view = view.transpose(np.argsort(order))
    view[...] = rng.normal(size=shape)
    return whole, view


# the axes batch, row, column in the order of memory; rows or columns must be contiguous
ORDERS = st.sampled_from([(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 0, 1)])
SIZES = st.integers(1, 4)


def check(a, b, whole, out, add=False, product=gemm.batched_matmul, **scratch):
    """The names of the calls by which product(a, b, out) got the right result, and nothing else."""
    result = np.matmul(a, b) + (out if add else 0)
    if not add:
        out[...] = np.nan                       # which is not to be looked at
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "cublas", lambda: (recorder, 0))
        patch.setattr(gemm, "_SMALL", 0)
        product(NOT_NUMPY, Device(a), Device(b), Device(out), **scratch)
    assert_allclose(out, result, rtol=1e-5, atol=1e-5)
    out[...] = np.nan
    assert np.isnan(whole).all()
    return recorder.calls


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 3), SIZES, SIZES, SIZES, ORDERS, ORDERS, ORDERS, st.integers(0, 2),
       st.booleans(), st.sampled_from("fd"))
def test_batches_of_views(B, m, k, n, order_a, order_b, order_out, gap, add, kind):
    rng = np.random.default_rng(0)
    _, a = in_nans(rng, (B, m, k), kind, order_a, gap)
    _, b = in_nans(rng, (B, k, n), kind, order_b, gap)
    whole, out = in_nans(rng, (B, m, n), kind, order_out, gap)
    letter, form = {"f": "s", "d": "d"}[kind], "gemm" if B == 1 else "gemmStridedBatched"
    assert check(a, b, whole, out, add, functools.partial(gemm.batched_matmul, add=add)) \
        == [letter + form]


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, SIZES, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2))
def test_matrices(m, k, n, a_transposed, b_transposed, out_transposed, gap):
    rng = np.random.default_rng(0)
    _, a = in_nans(rng, (m, k), "f", (1, 0) if a_transposed else (0, 1), gap)
    _, b = in_nans(rng, (k, n), "f", (1, 0) if b_transposed else (0, 1), gap)
    whole, out = in_nans(rng, (m, n), "f", (1, 0) if out_transposed else (0, 1), gap)
    assert check(a, b, whole, out, product=gemm.matmul) == ["sgemm"]
    out[...] = 2
    assert check(a, b, whole, out, True, gemm.add_matmul, scratch=None) == ["sgemm"]


def test_a_factor_may_be_the_same_in_all_products():
    rng = np.random.default_rng(0)
    _, b = in_nans(rng, (3, 4, 5), "f", (0, 1, 2), 0)
    whole, out = in_nans(rng, (3, 2, 5), "f", (0, 1, 2), 0)
    a = rng.normal(size=(1, 2, 4)).astype("f")
    for same in a, np.broadcast_to(a, (3, 2, 4)):
        assert check(same, b, whole, out) == ["sgemmStridedBatched"]


def test_steps_along_axes_of_one_entry_are_not_looked_at():
    strange = np.lib.stride_tricks.as_strided
    rng = np.random.default_rng(0)
    row, column = rng.normal(size=4), rng.normal(size=4)
    whole, out = in_nans(rng, (1, 1), "d", (0, 1), 1)
    a = strange(row, (1, 4), (-24, 8))
    b = strange(column, (4, 1), (8, 56))
    assert check(a, b, whole, out, product=gemm.matmul) == ["dgemm"]


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("B, m, k, n", [(2, 0, 3, 4), (2, 3, 4, 0), (0, 2, 3, 4), (2, 3, 0, 4)])
def test_of_nothing(B, m, k, n, add):
    out = np.full((B, m, n), 5.0)
    assert check(np.ones((B, m, k)), np.ones((B, k, n)), np.full(1, np.nan), out, add,
                 functools.partial(gemm.batched_matmul, add=add)) == []


def column_blocks(x, B):
    """The column blocks of x (M, B k) as (B, M, k)."""
    return x.reshape(len(x), B, x.shape[1] // B).swapaxes(0, 1)


@pytest.mark.parametrize("kind, rtol", [("d", 1e-12), ("f", 1e-5)])
@pytest.mark.parametrize("B, M, K, N", [(37, 50, 5, 3), (2, 16, 16, 16), (300, 19, 1, 4),
                                        (3, 21, 4, 17), (3, 21, 17, 4), (2, 15, 3, 3),
                                        (1, 20, 3, 3), (30, 100, 16, 6), (9, 1030, 2, 5),
                                        (40, 17, 1, 1)])
def test_blocks_on_the_device(xp, B, M, K, N, kind, rtol):
    """The products of a block diagonal layer, by the kernel for small blocks and by cuBLAS."""
    if xp is np:
        pytest.skip("NumPy's batches are tested elsewhere")
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=s).astype(kind) for s in ((M, B * K), (B, N, K), (M, B * N)))
    x_i, dy_i = column_blocks(x, B), column_blocks(dy, B)
    expected = [x_i @ w.swapaxes(1, 2), dy_i @ w, dy_i.swapaxes(1, 2) @ x_i]
    x, w, dy = map(xp.asarray, (x, w, dy))
    x_i, dy_i = column_blocks(x, B), column_blocks(dy, B)
    for add in False, True:
        y, dx, dw = (xp.full(a.shape, 3.0, kind) for a in (dy, x, w))
        for a, b, out, exact in ((x_i, w.swapaxes(1, 2), column_blocks(y, B), expected[0]),
                                 (dy_i, w, column_blocks(dx, B), expected[1]),
                                 (dy_i.swapaxes(1, 2), x_i, dw, expected[2])):
            gemm.batched_matmul(xp, a, b, out, add=add)
            assert_allclose(backend.to_numpy(out), exact + 3 * add, rtol=rtol, atol=20 * rtol)


def test_small_blocks_are_no_product_of_cublas(xp, monkeypatch):
    if xp is np:
        pytest.skip("NumPy has no cuBLAS")
    monkeypatch.setattr(backend, "cublas", None)
    a, b = xp.ones((1, 40, 3), "f"), xp.ones((5, 3, 16), "f")
    out = xp.zeros((5, 40, 16), "f")
    gemm.batched_matmul(xp, a, b, out)
    assert_array_equal(backend.to_numpy(out), 3)
    with pytest.raises(Error, match="can't be written to float32"):
        gemm.batched_matmul(xp, a, b, out[:, :39])


def test_without_a_binding_the_array_module_multiplies(monkeypatch):
    class Module:                              # not numpy, but computes as it does
        matmul = staticmethod(np.matmul)

    monkeypatch.setattr(backend, "cublas", lambda: (None, 0))
    monkeypatch.setattr(gemm, "_SMALL", 0)
    a, b, out = np.ones((2, 3, 4)), np.ones((2, 4, 5)), np.ones((2, 3, 5))
    gemm.batched_matmul(Module, a, b, out, add=True)
    assert_array_equal(out, 5)
    gemm.batched_matmul(Module, a, b, out)
    assert_array_equal(out, 4)


def views(a=None, b=None, out=None):
    return [Device(np.zeros(shape, "f") if view is None else view)
            for view, shape in ((a, (2, 3, 4)), (b, (2, 4, 5)), (out, (2, 3, 5)))]


@pytest.mark.parametrize("wrong, message", [
    (dict(a=np.zeros((2, 3, 8), "f")[:, :, ::2]), r"shape \(2, 3, 4\) and strides \(96, 32, 8\): .*"
                                                  "rows or its columns must be contiguous"),
    (dict(a=np.zeros((2, 3, 4), "f")[:, ::-1]), "rows or its columns must be contiguous"),
    (dict(b=np.broadcast_to(np.zeros(5, "f"), (2, 4, 5))), "rows or its columns must be"),
    (dict(a=np.zeros((3, 3, 4), "f")), r"a batch of 2 .* shape \(3, 3, 4\)"),
    (dict(a=np.zeros((2, 3, 4), "f")[::-1]), r"a batch of 2 .* strides \(-48"),
    (dict(out=np.broadcast_to(np.zeros((3, 5), "f"), (2, 3, 5))), "written to one place"),
    (dict(out=np.zeros((2, 3, 6), "f")), r"\(2, 3, 4\) by .* written to float32 \(2, 3, 6\)"),
    (dict(b=np.zeros((2, 5, 5), "f")), r"by float32 \(2, 5, 5\) can't be written"),
    (dict(out=np.zeros((2, 3, 5))), r"can't be written to float64")])
def test_views_that_no_blas_takes(wrong, message):
    with pytest.raises(Error, match=message):
        gemm.gemm_arguments(*views(**wrong))
