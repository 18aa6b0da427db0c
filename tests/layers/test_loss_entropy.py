import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer, random_labels
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_expit, log_softmax

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError
from minicaffe.proto import weights

MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]


def loss(layer, bottom, top):
    layer.forward(bottom, top)
    assert top[0].shape == ()
    return float(top[0].data)


# ---- MultinomialLogisticLoss

def logistic(xp, p, labels):
    return make_layer("MultinomialLogisticLoss", [p.shape, np.shape(labels)], xp=xp,
                      values={0: p, 1: labels})


@pytest.mark.parametrize("shape, label_shape", [((5, 4), (5,)), ((3, 4, 1, 1), (3, 1, 1, 1))])
def test_multinomial_logistic_loss(xp, shape, label_shape):
    p = np.random.default_rng(0).uniform(0.1, 1, shape)
    labels = random_labels(label_shape, 4)
    layer, bottom, top = logistic(xp, p, labels)
    expected = -np.mean([np.log(row[l]) for row, l in zip(p.reshape(-1, 4), labels.ravel())])
    assert_allclose(loss(layer, bottom, top), expected, rtol=1e-12)
    check_gradient(layer, bottom, top, step=1e-6)


def test_multinomial_logistic_loss_of_probability_0(xp):
    layer, bottom, top = logistic(xp, np.array([[0.0, 1]]), [0])
    assert_allclose(loss(layer, bottom, top), -np.log(1e-20), rtol=1e-12)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    assert_allclose(to_numpy(bottom[0].diff), [[-1e20, 0]])


# ---- SigmoidCrossEntropyLoss

def sigmoid(xp=None, shape=(4, 3, 2), targets=None, scale=1, **fields):
    rng = np.random.default_rng(5)
    if targets is None:
        targets = rng.choice([0, 1, 0.25, -1, -0.5], size=shape)
    return make_layer("SigmoidCrossEntropyLoss", [shape, np.shape(targets)], xp=xp,
                      values={0: scale * rng.normal(size=shape), 1: targets}, **fields)


@pytest.mark.parametrize("ignore_label", [None, 0, -1])
@pytest.mark.parametrize("mode", MODES + [None])
class TestSigmoidCrossEntropyLoss:
    def make(self, xp, ignore_label, mode):
        fields = {} if ignore_label is None else {"ignore_label": ignore_label}
        if mode:
            fields["normalization"] = mode
        return sigmoid(xp, **fields)

    def test_forward(self, xp, ignore_label, mode):
        layer, bottom, top = self.make(xp, ignore_label, mode)
        total = number = 0
        for x, t in zip(to_numpy(bottom[0].data).ravel(), to_numpy(bottom[1].data).ravel()):
            if int(t) != ignore_label:
                total -= t * log_expit(x) + (1 - t) * log_expit(-x)
                number += 1
        n = {"FULL": 24, "VALID": number, "BATCH_SIZE": 4, None: 4, "NONE": 1}[mode]
        assert_allclose(loss(layer, bottom, top), total / n, rtol=1e-12)

    def test_gradient(self, xp, ignore_label, mode):
        check_gradient(*self.make(xp, ignore_label, mode))


def test_sigmoid_cross_entropy_normalize_is_the_older_form(xp):
    assert loss(*sigmoid(xp, normalize=True)) == loss(*sigmoid(xp, normalization="VALID"))
    assert loss(*sigmoid(xp, normalize=False)) == loss(*sigmoid(xp))
    assert loss(*sigmoid(xp, normalize=True)) != loss(*sigmoid(xp))


def test_sigmoid_cross_entropy_of_large_scores(xp):
    layer, bottom, top = sigmoid(xp, (1, 4), [[1, 0, 1, 0]], dtype=np.float32)
    bottom[0].data[...] = [[500, 500, -500, -500]]
    with np.errstate(all="raise", under="ignore"):
        assert loss(layer, bottom, top) == 1000
        top[0].diff[...] = 1
        layer.backward(top, [True, False], bottom)
    assert_array_equal(to_numpy(bottom[0].diff), [[0, 1, -1, 0]])


def test_all_ignored_is_zero(xp):
    layer, bottom, top = sigmoid(xp, (2, 2), [[3, 3], [3, 3]], ignore_label=3,
                                 normalization="VALID")
    assert loss(layer, bottom, top) == 0
    assert not backward_once(layer, bottom, top)[0].any()


# ---- InfogainLoss

CASES = [((6, 5), (6,), 1), ((3, 5, 2, 4), (3, 2, 4), 1), ((3, 2, 5), (3, 2), -1)]


def infogain(xp, shape, label_shape, axis, file=None, num_top=1, matrix=None, **loss_param):
    C = shape[axis]
    if matrix is None:
        matrix = np.random.default_rng(8).uniform(0, 1, (C, C))
    shapes, fields = [shape, label_shape, (C, C)], {"axis": axis}
    if file is not None:
        weights.write_blob(matrix, file)
        shapes, fields = shapes[:2], {"axis": axis, "source": str(file)}
    values = {1: random_labels(label_shape, C)}
    if len(shapes) == 3:
        values[2] = matrix
    return (*make_layer("InfogainLoss", shapes, xp=xp, num_top=num_top, values=values,
                        also={"loss_param": loss_param}, **fields), matrix)


@pytest.mark.parametrize("shape, label_shape, axis", CASES)
@pytest.mark.parametrize("ignore_label", [None, 2])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("from_file", [False, True])
def test_infogain_loss(xp, tmp_path, shape, label_shape, axis, ignore_label, mode, from_file):
    fields = {} if ignore_label is None else {"ignore_label": ignore_label}
    layer, bottom, top, H = infogain(xp, shape, label_shape, axis, normalization=mode,
                                     file=tmp_path / "h.binaryproto" if from_file else None,
                                     **fields)
    rows = np.moveaxis(log_softmax(to_numpy(bottom[0].data), axis=axis), axis, -1)
    total = number = 0
    labels = to_numpy(bottom[1].data).astype(int).ravel()
    for row, label in zip(rows.reshape(-1, shape[axis]), labels):
        if label != ignore_label:
            total -= H[label] @ row
            number += 1
    batch = int(np.prod(shape[:axis % len(shape)]))
    n = {"FULL": len(labels), "VALID": number, "BATCH_SIZE": batch, "NONE": 1}[mode]
    assert_allclose(loss(layer, bottom, top), total / n, rtol=1e-12)
    check_gradient(layer, bottom, top)


def test_infogain_loss_with_the_identity_is_softmax_loss(xp):
    shape, label_shape, axis = CASES[1]
    *run, _ = infogain(xp, shape, label_shape, axis, num_top=2, matrix=np.eye(5))
    same = make_layer("SoftmaxWithLoss", [shape, label_shape], xp=xp, num_top=2,
                      values={i: b.data for i, b in enumerate(run[1][:2])})
    assert_allclose(loss(*run), loss(*same), rtol=1e-13)
    assert_array_equal(to_numpy(run[2][1].data), to_numpy(same[2][1].data))
    assert_allclose(backward_once(*run)[0], backward_once(*same)[0], rtol=1e-12, atol=1e-16)


def test_errors(xp, tmp_path):
    with pytest.raises(LayerError, match="one a sample is needed"):
        make_layer("MultinomialLogisticLoss", [(5, 4), (4,)], xp=xp)
    with pytest.raises(LayerError, match=r"targets of shape \(4, 2\) do not fit scores"):
        make_layer("SigmoidCrossEntropyLoss", [(4, 3), (4, 2)], xp=xp)
    with pytest.raises(LayerError, match="needs the matrix H"):
        make_layer("InfogainLoss", [(4, 3), (4,)], xp=xp)
    with pytest.raises(LayerError, match="source: .*nothing.binaryproto"):
        make_layer("InfogainLoss", [(4, 3), (4,)], xp=xp,
                   source=str(tmp_path / "nothing.binaryproto"))
    with pytest.raises(LayerError, match=r"shape \(2, 3\) does not fit 3 classes"):
        make_layer("InfogainLoss", [(4, 3), (4,), (2, 3)], xp=xp)
    with pytest.raises(LayerError, match=r"3 labels \(shape \(3,\)\) do not fit"):
        make_layer("InfogainLoss", [(4, 3), (3,), (3, 3)], xp=xp)
    layer, bottom, top, _ = infogain(xp, *CASES[0])
    layer.forward(bottom, top)
    for i in 1, 2:
        with pytest.raises(LayerError, match=f"bottom {i} has no gradient"):
            layer.backward(top, [j == i for j in range(3)], bottom)


@pytest.mark.parametrize("label", [3, -1, 1.5, np.nan])
@pytest.mark.parametrize("type_name", ["MultinomialLogisticLoss", "InfogainLoss"])
def test_a_wrong_label_is_named(xp, type_name, label):
    shapes = [(4, 3), (4,), (3, 3)][:3 if type_name == "InfogainLoss" else 2]
    layer, bottom, top = make_layer(type_name, shapes, xp=xp, values={1: [0, 1, label, 7]})
    with pytest.raises(LayerError, match=rf"label {label:g} at index \(2,\).* from 0 to 2"):
        layer.forward(bottom, top)
        layer.check_device()


# ---- label smoothing of SoftmaxWithLoss

@pytest.mark.parametrize("e", [0.1, 0.5])
@pytest.mark.parametrize("ignore_label", [None, 2])
@pytest.mark.parametrize("shape, label_shape, axis", CASES)
def test_label_smoothing_is_cross_entropy_with_smoothed_targets(xp, e, ignore_label, shape,
                                                                label_shape, axis):
    fields = {} if ignore_label is None else {"ignore_label": ignore_label}
    labels, C = random_labels(label_shape, shape[axis]), shape[axis]
    layer, bottom, top = make_layer(
        "SoftmaxWithLoss", [shape, label_shape], xp=xp, values={1: labels}, label_smoothing=e,
        also={"softmax_param": {"axis": axis}, "loss_weight": [3]}, **fields)
    rows = np.moveaxis(log_softmax(to_numpy(bottom[0].data), axis=axis), axis, -1).reshape(-1, C)
    each = -((1 - e) * np.eye(C)[labels.ravel()] + e / C) * rows
    kept = labels.ravel() != (-5 if ignore_label is None else ignore_label)
    assert_allclose(loss(layer, bottom, top), each[kept].sum() / kept.sum(), rtol=1e-7)
    check_gradient(layer, bottom, top)


@pytest.mark.parametrize("e", [-0.1, 1, 2])
def test_label_smoothing_out_of_range(xp, e):
    with pytest.raises(LayerError, match="label_smoothing .* at least 0 and below 1"):
        make_layer("SoftmaxWithLoss", [(4, 3), (4,)], xp=xp, label_smoothing=e)
