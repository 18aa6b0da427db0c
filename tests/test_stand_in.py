"""The stand-in for CuPy refuses what CuPy refuses, and runs what it runs."""

import numpy as np
import pytest
from stand_in import blas, kernels, modules, state

from minicaffe import backend

TEXT = backend.Kernels("test_stand_in", """
extern "C" __global__ void scale(const Real* x, Real* y, double factor, Index n) {
    GRID_LOOP(i, n) y[i] = Real(factor) * x[i];
}
extern "C" __global__ void total(const Real* x, Real* y, Index n) {
    __shared__ Real part[256];
    Real sum = 0;
    for (Index i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 128; half; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (!threadIdx.x) y[blockIdx.x] = part[0];
}
extern "C" __global__ void half_waits(Index n) { if (threadIdx.x < n) __syncthreads(); }
extern "C" __global__ void shared_first(Real* y) {
    __shared__ Real part[1];
    if (!threadIdx.x) y[0] = part[0];
}
""")
del backend.kernel_texts["test_stand_in"]


@pytest.fixture
def cupy(monkeypatch):
    if kernels.compiler() is None:
        pytest.skip("no g++")
    with modules.installed() as cupy:
        for name in "_mode", "_cupy", "_products":
            monkeypatch.setattr(backend, name, getattr(backend, name))
        backend._cupy = None
        backend.set_mode_gpu()
        yield cupy
        TEXT._functions.clear()


@pytest.fixture
def x(cupy):
    return cupy.asarray(np.arange(1000.0))


class TestKernels:
    def test_all_threads_run(self, cupy, x):
        y = cupy.empty_like(x)
        TEXT("scale", x.dtype, 1000, x, y, 2.5, 1000)
        np.testing.assert_array_equal(y.get(), 2.5 * np.arange(1000))

    def test_blocks_share_memory_and_wait(self, cupy, x):
        y = cupy.empty(3)
        TEXT.by_blocks("total", x.dtype, 3, x, y, 1000)
        np.testing.assert_array_equal(y.get(), 3 * [499500])

    def test_shared_memory_begins_with_garbage(self, cupy):
        y = cupy.zeros(1)
        TEXT.by_blocks("shared_first", y.dtype, 1, y)
        assert np.isnan(y.get())

    def test_a_barrier_that_some_threads_miss(self, cupy):
        with pytest.raises(RuntimeError, match="half_waits.*never reach"):
            TEXT.by_blocks("half_waits", np.float64, 1, 3)

    def test_writing_beyond_the_end(self, cupy, x):
        with pytest.raises(IndexError, match="scale wrote beyond an array of 7992 bytes"):
            TEXT("scale", x.dtype, 1000, x, cupy.empty(999), 1.0, 1000)

    def test_an_address_that_is_none(self, cupy, x, monkeypatch):
        monkeypatch.setattr(kernels, "address", lambda host: 0)
        with pytest.raises(RuntimeError, match="scale: an address outside all memory"):
            TEXT("scale", x.dtype, 1000, x, x, 1.0, 1000)

    def test_reading_beyond_the_end_gives_nan(self, cupy, x):
        y = cupy.empty(1001)
        TEXT("scale", x.dtype, 1001, x, y, 1.0, 1001)
        assert np.isnan(y.get()[1000]) and not np.isnan(y.get()[:1000]).any()

    @pytest.mark.parametrize("change, message", [
        (lambda a: a[:3], "4 arguments, not 3"),
        (lambda a: [*a[:2], 1, a[3]], "factor: a float is wanted"),
        (lambda a: [*a[:3], 1.0], "n: .*int32.* is wanted, not 1.0"),
        (lambda a: [a[0].get(), *a[1:]], "x: an array of the device is wanted"),
        (lambda a: [None, *a[1:]], "x: an array of the device is wanted"),
        (lambda a: [a[0].astype("f"), *a[1:]], "x: double[*] is wanted, not an array of float32"),
        (lambda a: [a[0].reshape(10, 100).T, *a[1:]], "x: the array is not contiguous")])
    def test_wrong_arguments(self, cupy, x, change, message):
        with pytest.raises(TypeError, match=message):
            TEXT("scale", x.dtype, 1000, *change([x, cupy.empty_like(x), 1.0, 1000]))

    @pytest.mark.parametrize("word", ["INFINITY", "FLT_MAX", "uint32_t", "std::"])
    def test_words_that_cupy_s_compiler_does_not_know(self, cupy, word):
        with pytest.raises(kernels.CompileException, match=word):
            cupy.RawModule(code=f'extern "C" __global__ void f() {{ {word} x; }}')


class TestArrays:
    @pytest.mark.parametrize("call", [
        lambda cupy, x: np.asarray(x), lambda cupy, x: np.add(x, x), lambda cupy, x: np.sum(x),
        lambda cupy, x: x + np.ones(1000), lambda cupy, x: np.ones(1000) + x,
        lambda cupy, x: cupy.add(x, np.ones(1000)), lambda cupy, x: cupy.add(x, x, where=x > 0),
        lambda cupy, x: cupy.sum(x, where=x > 0), lambda cupy, x: cupy.add(x, x, out=np.ones(1000)),
        lambda cupy, x: cupy.concatenate([x, np.ones(1)]), lambda cupy, x: range(x[0])])
    def test_no_mixing_and_no_options_that_cupy_lacks(self, cupy, x, call):
        with pytest.raises(TypeError):
            call(cupy, x)

    def test_a_host_array_is_not_assigned(self, cupy, x):
        with pytest.raises(ValueError, match="non-scalar numpy.ndarray"):
            x[...] = np.ones(1000)
        with pytest.raises(ValueError, match="non-scalar numpy.ndarray"):
            x[:] = np.ones(1000)

    @pytest.mark.parametrize("call", [float, int, bool, lambda a: a.get(), lambda a: a.item(), str,
                                      lambda a: a[a > 0], lambda a: a.nonzero()])
    def test_what_waits_is_counted(self, cupy, x, call):
        value = x[1:2]
        state.counts.reset()
        call(value)
        assert state.counts.synchronisations == 1

    def test_what_does_not_wait(self, cupy, x):
        y = x[3:5] * 2 + x.sum()
        y[...] = 1
        y += x[:2]
        assert state.counts.synchronisations == 0 and state.counts.to_host == 0

    def test_views_share_memory_and_new_arrays_hold_nan(self, cupy, x):
        x.reshape(10, 100)[1, 2:4] = 7
        assert x.get()[102:104].tolist() == [7, 7]
        assert np.isnan(cupy.empty(3).get()).all()

    def test_positions_are_those_of_cupy(self, cupy, x):
        out = cupy.empty((), np.int64)
        cupy.argmax(x, None, None, out)                    # NumPy has no dtype in third place
        assert int(out) == 999
        with pytest.raises(TypeError, match="takes 4 arguments, not 5"):
            cupy.amax(x, 0, out, False, 3)

    def test_unknown_functions_are_named(self, cupy):
        with pytest.raises(AttributeError, match="cupy.histogram2d"):
            cupy.histogram2d


class TestGraphs:
    def test_what_was_captured_runs_at_each_launch_only(self, cupy, x):
        y, stream = cupy.zeros(1000), cupy.cuda.Stream()
        with stream:
            stream.begin_capture()
            x += 1
            z = x * 2
            TEXT("scale", x.dtype, 1000, z, y, 2.0, 1000)
            graph = stream.end_capture()
        assert x.get()[0] == 0 and y.get()[0] == 0
        graph.launch()
        graph.launch()
        assert (x.get()[0], y.get()[0]) == (2, 8)

    @pytest.mark.parametrize("call", [lambda cupy, x: float(x[0]), lambda cupy, x: x.get(),
                                      lambda cupy, x: cupy.asarray([1, 2]), lambda cupy, x: x[x > 0],
                                      lambda cupy, x: x.set(np.ones(1000))])
    def test_what_can_not_be_captured(self, cupy, x, call):
        with state.capturing([]), pytest.raises(RuntimeError, match="disallowed|Unsupported"):
            call(cupy, x)

    @pytest.mark.parametrize("call", [lambda cupy, x: x @ x, lambda cupy, x: cupy.dot(x, x),
                                      lambda cupy, x: cupy.matmul(x, x, out=x[0]),
                                      lambda cupy, x: x.dot(x)])
    def test_products_are_refused_as_by_cupy(self, cupy, x, call):
        with state.capturing([]), pytest.raises(NotImplementedError, match="cuBLAS API during"):
            call(cupy, x)


class TestProducts:
    def arrays(self, cupy):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
        return a, b, cupy.asarray(a), cupy.asarray(b), cupy.zeros((3, 5))

    def multiply(self, a, b, c, ldb=5, **change):
        """c = a b of C-ordered matrices: b^T a^T for cuBLAS."""
        one, zero = np.ones(1), np.zeros(1)
        binding, handle = backend.cublas()
        binding.dgemm(handle, 0, 0, 5, 3, 4, one.ctypes.data, b.data.ptr, ldb, a.data.ptr, 4,
                      zero.ctypes.data, c.data.ptr, 5)

    def test_product(self, cupy):
        a, b, x, y, out = self.arrays(cupy)
        self.multiply(x, y, out)
        np.testing.assert_allclose(out.get(), a @ b, rtol=1e-13)
        name, arguments = blas.calls[-1]
        assert name == "dgemm" and arguments["m"] == 5 and arguments["ldb"] == 4

    def test_out_of_bounds(self, cupy):
        _, _, x, y, out = self.arrays(cupy)
        with pytest.raises(IndexError, match="a product reads"):
            self.multiply(x, y, out, ldb=6)

    def test_leading_dimension_too_small(self, cupy):
        _, _, x, y, out = self.arrays(cupy)
        with pytest.raises(blas.CUBLASError, match="leading dimension 4"):
            self.multiply(x, y, out, ldb=4)
