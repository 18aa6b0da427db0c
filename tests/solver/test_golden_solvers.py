"""Every update rule, policy and option against 12 iterations of the original Caffe."""

import pathlib

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.proto import caffe_pb2, text

CASES = sorted((pathlib.Path(__file__).parents[1] / "golden" / "solvers").glob("*.npz"))


def solver_of(case):
    """The case's solver, its Input layer handing out the recorded batches one after another."""
    param = text.parse(str(case["solver_prototxt"]), caffe_pb2.SolverParameter)
    param.ClearField("net")
    param.net_param.CopyFrom(text.parse(str(case["net_prototxt_input"]), caffe_pb2.NetParameter))
    solver = caffe.get_solver(param)
    arrays, batch, passes = (case["data"], case["label"]), int(case["batch_size"]), [0]

    def next_batch(bottom, top):
        rows = (passes[0] * batch + np.arange(batch)) % len(arrays[0])
        passes[0] += 1
        for blob, array in zip(top, arrays):
            blob.data = array[rows].reshape(blob.shape)

    solver.net.layers[0].forward = next_batch
    for name, blobs in solver.net.params.items():
        for i, blob in enumerate(blobs):
            blob.data[...] = case[f"init_{name}_{i}"]
    return solver


def distance(array, expected):
    """Largest difference over the largest magnitude."""
    return np.abs(array - expected).max() / max(np.abs(expected).max(), 1e-30)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_twelve_iterations_equal_caffe(path):
    case = np.load(path)
    solver = solver_of(case)
    limit = 2e-4 if path.stem.startswith("rmsprop") else 2e-5
    gradients, rates = {}, []

    def note_gradients():
        rates.append(solver.learning_rate(solver.iter))
        norm = np.sqrt(sum((caffe.to_numpy(b.diff).astype(float) ** 2).sum()
                           for b in solver.net.learnable_params))
        assert norm == pytest.approx(case["grad_norm"][solver.iter], rel=limit)
        if solver.iter == 0:
            gradients.update({(name, i): caffe.to_numpy(blob.diff).copy() for name, blobs in solver.net.params.items()
                              for i, blob in enumerate(blobs)})

    solver.add_callback(on_gradients_ready=note_gradients)
    for k in range(12):
        solver.step(1)
        assert solver.smoothed_loss == pytest.approx(case["loss"][k], rel=limit)
        for name, blobs in solver.net.params.items():
            for i, blob in enumerate(blobs):
                assert distance(blob.data, case[f"params_{name}_{i}"][k]) <= limit, (k, name, i)
    np.testing.assert_allclose(rates, case["lr"], rtol=1e-5)
    for (name, i), gradient in gradients.items():
        assert distance(gradient, case[f"grad0_{name}_{i}"]) <= limit
