"""The kernels of element-wise layers say what their NumPy formulas say, where it is delicate too."""

import numpy as np
import pytest
from helpers import make_layer
from numpy.testing import assert_allclose

from minicaffe import backend

# zero, NaN, infinities, the ends of the numbers, where functions saturate
DELICATE = [0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 3e38, -3e38, 20, -20, 90, -90, 0.5, -0.5, 1,
            -1, 2, -2, 0.7, 1e-4, -1e-4, 3.25, -3.25,
            0.1]
CASES = [
    ("ReLU", {}), ("ReLU", {"negative_slope": 0.25}), ("ReLU", {"negative_slope": 2}),
    ("ReLU", {"negative_slope": -1}), ("Sigmoid", {}), ("TanH", {}), ("BNLL", {}),
    ("ELU", {}), ("ELU", {"alpha": 0.5}), ("ELU", {"alpha": 1.5}), ("Swish", {}),
    ("Swish", {"beta": 0.5}), ("SiLU", {}), ("GELU", {}), ("GELU", {"form": "TANH"}),
    ("AbsVal", {}), ("Clip", {"min": -0.5, "max": 1}), ("Threshold", {"threshold": 0.5}),
    ("Exp", {}), ("Exp", {"base": 2, "scale": 0.5, "shift": 3}),
    ("Log", {}), ("Log", {"base": 10, "scale": -0.5, "shift": 3}),
    *(("Power", {"power": p, "scale": a, "shift": b}) for p in (0, 0.5, 1, 2, 3, -1, -0.5)
      for a, b in ((1, 0), (0.5, 1), (0, 2), (0, 0), (0, -2))),
    ("PReLU", {}), ("PReLU", {"channel_shared": True}), ("MaxMin", {}),
]


def both_passes(type_name, fields, dtype):
    """Top data, and bottom diff where x is finite, as NumPy arrays, in the mode that is set."""
    values = np.resize(np.array(DELICATE, dtype), (4, 12))
    layer, bottom, top = make_layer(type_name, (4, 12), dtype=dtype, values={0: values}, **fields)
    dy = np.random.default_rng(5).normal(size=(4, 12))
    with np.errstate(all="ignore"):
        layer.forward(bottom, top)
        y = np.array(top[0].data)
        top[0].diff = dy
        if type_name != "Threshold":
            layer.backward(top, [True], bottom)
    return y, np.array(bottom[0].diff)[np.isfinite(values)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("type_name, fields", CASES)
@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
def test_kernels_equal_the_formulas_of_numpy(xp, type_name, fields, dtype):
    on_gpu = both_passes(type_name, fields, dtype)
    backend.set_mode_cpu()
    on_cpu = both_passes(type_name, fields, dtype)
    for a, b in zip(on_gpu, on_cpu):
        digits = 10 * np.finfo(dtype).eps
        assert_allclose(a, b, rtol=20 * digits, atol=digits)
