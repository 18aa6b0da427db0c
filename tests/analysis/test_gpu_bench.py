import numpy as np
import pytest

from stand_in import blas, state

from minicaffe import backend
from minicaffe.analysis import bench, gpu_bench, gpu_plot, gpu_steps
from minicaffe.primitives import cuda_graph

PEAK = gpu_bench.Ceilings(1e13, 1e12)


def test_roofline_counts_operations_and_bytes():
    # dense 1000 x 1000, batch 100: 0.2 Gflop and 4.8 MB; three products: thrice of both
    seconds, bound = gpu_bench.roofline("forward", 1000, 1, 100, PEAK)
    assert (seconds, bound) == (pytest.approx(2e8 / 1e13), "arithmetic")
    seconds, bound = gpu_bench.roofline("training", 1000, 250, 100, PEAK)
    assert (seconds, bound) == (pytest.approx(4 * (6e5 + 3 * 4000) / 1e12), "memory")


@pytest.mark.parametrize("n, numbers", [(512, [1, 4, 16, 64, 128]), (64, [1, 4, 16])])
def test_numbers_of_blocks_go_up_to_a_quarter(n, numbers):
    assert gpu_bench._block_numbers(n) == numbers


@pytest.fixture
def device(xp, monkeypatch):
    if xp is np:
        pytest.skip("for a GPU")
    if xp.__version__.endswith("stand-in"):
        monkeypatch.setattr(cuda_graph, "load_library", blas.Library)
        monkeypatch.setattr(gpu_bench, "has_torch", lambda: False)     # it has no such arrays
        monkeypatch.setattr(gpu_steps, "has_torch", lambda: False)
    monkeypatch.setitem(bench.CASES, "lenet", bench.CASES["lenet"]._replace(shape=(2, 1, 28, 28)))


def test_problem_computes_the_block_diagonal_products(device):
    problem = gpu_bench._Problem(12, 3, 5, seed=0)
    problem.training()
    x, dy, w, y, dx, dw = (backend.to_numpy(a) for a in (
        problem.x, problem.dy, problem.w, problem.y, problem.dx, problem.dw))
    for i, span in enumerate([slice(0, 4), slice(4, 8), slice(8, 12)]):
        np.testing.assert_allclose(y[:, span], x[:, span] @ w[i].T, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(dx[:, span], dy[:, span] @ w[i], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(dw[i], dy[:, span].T @ x[:, span], rtol=1e-5, atol=1e-5)


def test_products_are_timed_and_drawn(device, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_bench, "_ROTATED_BYTES", 1 << 16)
    rows = list(gpu_bench.products(PEAK, sizes=(16, 32), rounds=2, batch=4))
    assert [(r.what, r.n, r.blocks) for r in rows] == [
        (what, n, b) for n, numbers in ((16, (1, 4)), (32, (1, 4, 8))) for b in numbers
        for what in ("forward", "training")]
    assert all(r.block > 0 and r.host > 0 for r in rows)
    assert all(r.csr > 0 for r in rows if r.what == "forward")
    assert all(r.speed_up == 1 for r in rows if r.blocks == 1)
    gpu_plot.plot_products(rows, tmp_path / "products.png", "a device")
    assert (tmp_path / "products.png").stat().st_size > 5000


def test_what_the_host_needs_for_a_step_holds_no_wait(device):
    if backend.xp().__version__.endswith("stand-in"):
        solver = bench.our_solver(bench.CASES["lenet"], mode="GPU")
        solver.step(3)
        state.counts.reset()
        gpu_steps._launch(solver, 2)
        assert state.counts.launches > 20 and solver.iter == 5
        assert state.counts.synchronisations == state.counts.to_host == 0


def test_steps_are_timed_with_and_without_a_graph(device, monkeypatch):
    monkeypatch.setattr(gpu_steps, "_WARM_UP", 4)
    row, = gpu_steps.compare(["lenet"], rounds=1, steps=2)
    assert row.eager > 0 and row.graph > 0 and row.host > 0
