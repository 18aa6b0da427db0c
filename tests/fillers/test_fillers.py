import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from minicaffe import Blob, backend
from minicaffe.errors import Error, LayerError
from minicaffe.fillers import fill, filler_type_list
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

FIELDS = {"constant": {"value": 2}, "uniform": {"min": -1, "max": 3},
          "gaussian": {"mean": 1, "std": 0.5}, "positive_unitball": {}, "xavier": {}, "msra": {},
          "bilinear": {}}
CAFFES_OWN = sorted(FIELDS)


def filled(type_name, shape, *, seed=0, dtype=np.float64, **fields):
    blob = Blob(shape, dtype)
    blob.data[...] = np.nan
    fill(blob, caffe_pb2.FillerParameter(type=type_name, **fields), np.random.default_rng(seed))
    return blob.data


def fits(values, distribution):
    """Kolmogorov and Smirnov: fixed seeds, so a right filler never fails by bad luck."""
    return stats.kstest(values.ravel(), distribution.cdf).pvalue > 0.01


def test_all_of_caffe_s_are_there():
    assert set(CAFFES_OWN) <= set(filler_type_list())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CAFFES_OWN)
@pytest.mark.parametrize("xp", ["stand-in", "cupy"], indirect=True)
def test_every_back_end_has_the_same_values(xp, name, dtype):
    on_gpu = backend.to_numpy(filled(name, (4, 3, 5, 5), dtype=dtype, **FIELDS[name]))
    backend.set_mode_cpu()
    assert_array_equal(on_gpu, filled(name, (4, 3, 5, 5), dtype=dtype, **FIELDS[name]))


# ---- distributions

def test_constant():
    assert_array_equal(filled("constant", (2, 3), value=-1.5), np.full((2, 3), -1.5))
    assert_array_equal(filled("constant", (2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize("fields, low, high", [({}, 0, 1), ({"min": -2, "max": -0.5}, -2, -0.5)])
def test_uniform(fields, low, high):
    values = filled("uniform", (50, 400), **fields)
    assert fits(values, stats.uniform(low, high - low))
    assert low <= values.min() and values.max() < high


@pytest.mark.parametrize("fields, mean, std", [({}, 0, 1), ({"mean": 3, "std": 0.25}, 3, 0.25)])
def test_gaussian(fields, mean, std):
    assert fits(filled("gaussian", (50, 400), **fields), stats.norm(mean, std))


@pytest.mark.parametrize("sparse", [0, 3, 50])
def test_sparse_gaussian(sparse):
    """The expected number of non-zero weights of an input is `sparse`, of 50 outputs."""
    values = filled("gaussian", (50, 400), std=2, sparse=sparse)
    kept = values[values != 0]
    expected = 400 * sparse
    assert abs(len(kept) - expected) <= 4 * math.sqrt(expected * (1 - sparse / 50))
    if sparse:
        assert fits(kept, stats.norm(0, 2))


def test_positive_unitball():
    values = filled("positive_unitball", (20, 5, 4))
    assert_allclose(values.sum(axis=(1, 2)), 1, rtol=1e-12)
    assert values.min() >= 0
    ratio = values.reshape(20, -1) / values.reshape(20, -1).max(axis=1, keepdims=True)
    assert fits(ratio[ratio < 1], stats.uniform(0, 1))


# shape, fan in, fan out: count / shape[0] and count / shape[1]
FANS = [((60, 200), 200, 60), ((30, 20, 5, 5), 500, 750), ((12000,), 1, 12000)]


@pytest.mark.parametrize("shape, fan_in, fan_out", FANS)
@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE", None])
class TestScaledByFan:
    @staticmethod
    def n(fan_in, fan_out, norm):
        return {"FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}.get(norm, fan_in)

    @staticmethod
    def fields(norm):
        return {} if norm is None else {"variance_norm": norm}

    def test_xavier(self, shape, fan_in, fan_out, norm):
        limit = math.sqrt(3 / self.n(fan_in, fan_out, norm))
        values = filled("xavier", shape, **self.fields(norm))
        assert fits(values, stats.uniform(-limit, 2 * limit))
        assert 0.999 * limit < abs(values).max() <= limit

    def test_xavier_normal(self, shape, fan_in, fan_out, norm):
        std = math.sqrt(1 / self.n(fan_in, fan_out, norm))
        values = filled("xavier", shape, values="NORMAL", **self.fields(norm))
        assert fits(values, stats.norm(0, std))
        assert abs(values.std() / std - 1) < 4 / math.sqrt(2 * values.size)

    def test_msra(self, shape, fan_in, fan_out, norm):
        std = math.sqrt(2 / self.n(fan_in, fan_out, norm))
        values = filled("msra", shape, **self.fields(norm))
        assert fits(values, stats.norm(0, std))
        assert abs(values.std() / std - 1) < 4 / math.sqrt(2 * values.size)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8])
def test_bilinear(kernel):
    values = filled("bilinear", (2, 3, kernel, kernel))
    f = math.ceil(kernel / 2)
    c = (kernel - 1) / (2 * f)
    for index in np.ndindex(values.shape):
        y, x = index[2:]
        assert values[index] == pytest.approx((1 - abs(x / f - c)) * (1 - abs(y / f - c)))


@pytest.mark.parametrize("factor", [2, 3])
def test_bilinear_upsamples_a_constant_to_itself(factor):
    """Caffe's documented use: kernel 2 f - f % 2, stride f."""
    kernel = 2 * factor - factor % 2
    w = filled("bilinear", (1, 1, kernel, kernel))[0, 0]
    canvas = np.zeros((factor * 5 + kernel,) * 2)
    for i, j in np.ndindex(5, 5):
        canvas[factor * i:, factor * j:][:kernel, :kernel] += w
    assert_allclose(canvas[kernel:3 * factor, kernel:3 * factor], 1, rtol=1e-12)


# ---- seeds and precision

@pytest.mark.parametrize("type_name", CAFFES_OWN)
def test_a_seed_gives_the_same_values_in_both_precisions(type_name):
    double = filled(type_name, (3, 2, 4, 4), **FIELDS[type_name])
    single = filled(type_name, (3, 2, 4, 4), dtype=np.float32, **FIELDS[type_name])
    assert single.dtype == np.float32
    assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("type_name", sorted(set(CAFFES_OWN) - {"constant", "bilinear"}))
def test_seeds_matter(type_name):
    one, same, other = [filled(type_name, (3, 4), seed=s, **FIELDS[type_name]) for s in (1, 1, 2)]
    assert_array_equal(one, same)
    assert not (one == other).any()


# ---- errors

@pytest.mark.parametrize("shape, fields, message", [
    ((2, 3), {"type": "xaver"}, "unknown filler type 'xaver': did you mean 'xavier'"),
    ((2, 3), {"type": "?"}, "unknown filler type '\\?': known are .*constant.*msra"),
    ((2, 3), {"type": "uniform", "min": 2, "max": 1}, "max 1 is smaller than min 2"),
    ((2, 3), {"type": "gaussian", "std": -1}, "std -1 is negative"),
    ((2, 3), {"type": "gaussian", "sparse": 3}, "sparse 3 is not between 0 and the number of"),
    ((2, 3), {"type": "gaussian", "sparse": -2}, "sparse -2 is not between"),
    ((2, 3), {"type": "xavier", "sparse": 1}, "sparse is for the gaussian filler only"),
    ((2, 3), {"type": "xavier", "degree": 1}, "degree is for other fillers"),
    ((2, 3), {"type": "gaussian", "sparsity": 0.5}, "sparsity is for other fillers"),
    ((2, 3), {"type": "msra", "values": 1}, "values is for other fillers"),
    ((2, 3), {"type": "constant", "gain": 2}, "gain is for other fillers"),
    ((2, 3), {"type": "bilinear"}, "needs a square kernel"),
    ((1, 1, 3, 2), {"type": "bilinear"}, r"last two equal\), not shape \(1, 1, 3, 2\)"),
    ((), {"type": "xavier"}, "no inputs and outputs"),
    ((0, 3), {"type": "msra"}, r"shape \(0, 3\) has no inputs and outputs"),
    ((), {"type": "positive_unitball"}, "at least one axis")])
def test_what_does_not_fit(shape, fields, message):
    with pytest.raises(Error, match=message):
        fill(Blob(shape), caffe_pb2.FillerParameter(**fields), np.random.default_rng(0))


@pytest.mark.parametrize("filler, message", [
    ("xaver", "layer 'ip' .InnerProduct.: unknown filler type 'xaver'"),
    ("bilinear", "layer 'ip' .InnerProduct.: filler 'bilinear': needs a square kernel")])
def test_errors_name_the_layer(filler, message):
    param = caffe_pb2.LayerParameter(name="ip", type="InnerProduct", inner_product_param={
        "num_output": 2, "weight_filler": {"type": filler}})
    with pytest.raises(LayerError, match="^net.prototxt:7: " + message):
        layer_class("InnerProduct")(param, place="net.prototxt:7").set_up([Blob((2, 3))], [Blob()])
