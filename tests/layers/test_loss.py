import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer, random_labels
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SHAPES = [((6, 5), (6,), 1), ((6, 5), (6, 1, 1, 1), 1), ((3, 5, 2, 4), (3, 2, 4), 1),
          ((3, 4, 5), (3, 4), -1), ((5, 3), (3,), 0)]


def softmax_loss(shape, label_shape, axis=1, labels=None, num_top=1, xp=None, **fields):
    if labels is None:
        labels = random_labels(label_shape, shape[axis])
    return make_layer("SoftmaxWithLoss", [shape, label_shape], xp=xp, num_top=num_top,
                      values={1: labels}, also={"softmax_param": {"axis": axis}}, **fields)


def naive_softmax_loss(x, labels, axis, ignore_label=None):
    """(sum of -log p, number of samples that count), one sample after the other."""
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    total, number = 0.0, 0
    for row, label in zip(rows, labels.ravel()):
        if label != ignore_label:
            total -= np.log(np.exp(row[int(label)]) / np.exp(row).sum())
            number += 1
    return total, number


@pytest.mark.parametrize("shape, label_shape, axis", SHAPES)
@pytest.mark.parametrize("ignore_label", [None, 2, -1])
class TestSoftmaxWithLoss:
    def expected_normalizers(self, shape, axis, number, samples):
        return {"FULL": samples, "VALID": number, "NONE": 1,
                "BATCH_SIZE": int(np.prod(shape[:axis]))}

    @pytest.mark.parametrize("normalization", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
    def test_forward(self, xp, shape, label_shape, axis, ignore_label, normalization):
        fields = {} if ignore_label is None else {"ignore_label": ignore_label}
        layer, bottom, top = softmax_loss(shape, label_shape, axis, xp=xp,
                                          normalization=normalization, **fields)
        layer.forward(bottom, top)
        axis %= len(shape)
        labels = to_numpy(bottom[1].data)
        total, number = naive_softmax_loss(to_numpy(bottom[0].data), labels, axis, ignore_label)
        n = self.expected_normalizers(shape, axis, number, labels.size)[normalization]
        assert top[0].shape == ()
        assert_allclose(to_numpy(top[0].data), total / n, rtol=1e-12)

    @pytest.mark.parametrize("normalization", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
    def test_gradient(self, xp, shape, label_shape, axis, ignore_label, normalization):
        fields = {} if ignore_label is None else {"ignore_label": ignore_label}
        check_gradient(*softmax_loss(shape, label_shape, axis, xp=xp, normalization=normalization,
                                     **fields))


def loss_of(*args, **options):
    layer, bottom, top = softmax_loss(*args, **options)
    layer.forward(bottom, top)
    return float(top[0].data)


def test_softmax_loss_normalize_is_the_older_form(xp):
    case, ignoring = ((3, 5, 4), (3, 4)), {"ignore_label": 2}
    assert loss_of(*case, normalize=True, **ignoring) == loss_of(*case, **ignoring)
    batch_size = loss_of(*case, normalization="BATCH_SIZE", **ignoring)
    assert loss_of(*case, normalize=False, **ignoring) == batch_size
    assert loss_of(*case, normalize=False, normalization="VALID", **ignoring) != batch_size


def test_softmax_loss_second_top_is_the_softmax_and_has_no_say_in_the_gradient(xp):
    layer, bottom, top = softmax_loss((4, 3), (4,), num_top=2, xp=xp)
    check_gradient(layer, bottom, top, ignored_tops=[1])
    layer.forward(bottom, top)
    e = np.exp(to_numpy(bottom[0].data))
    assert_allclose(to_numpy(top[1].data), e / e.sum(axis=1, keepdims=True), rtol=1e-13)


def test_softmax_loss_weight_scales_the_gradient(xp):
    layer, bottom, top = softmax_loss((4, 3), (4,), xp=xp)
    layer.forward(bottom, top)
    layer.backward(top, [True, False], bottom)
    once = to_numpy(bottom[0].diff).copy()                # set_up wrote the loss weight 1
    top[0].diff[...] = -2.5
    layer.backward(top, [True, False], bottom)
    assert_allclose(to_numpy(bottom[0].diff), -2.5 * once, rtol=1e-14)
    assert_allclose(once.sum(axis=1), 0, atol=1e-15)


def test_softmax_loss_with_every_label_ignored_is_zero(xp):
    layer, bottom, top = softmax_loss((4, 3), (4,), labels=[9] * 4, ignore_label=9, xp=xp)
    dx, _ = backward_once(layer, bottom, top)
    assert float(top[0].data) == 0
    assert_array_equal(dx, np.zeros((4, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_loss_clamps_probabilities_at_flt_min(xp, dtype):
    layer, bottom, top = make_layer("SoftmaxWithLoss", [(1, 2), (1,)], xp=xp, dtype=dtype,
                                    values={0: [[0, 2000]], 1: [0]})
    layer.forward(bottom, top)
    assert_allclose(float(top[0].data), -np.log(np.finfo(np.float32).tiny), rtol=1e-6)
    layer.backward(top, [True, False], bottom)
    assert_array_equal(to_numpy(bottom[0].diff), [[-1, 1]])


@pytest.mark.parametrize("label, fields", [(3, {}), (-1, {}), (0.5, {}), (np.nan, {}), (np.inf, {}),
                                           (255, {"ignore_label": 7}), (2.5, {"ignore_label": 2})])
def test_softmax_loss_names_a_wrong_label(label, fields):
    layer, bottom, top = softmax_loss((4, 3), (4,), labels=[0, 1, label, 2], **fields)
    with pytest.raises(LayerError, match=rf"label {label:g} at index \(2,\) of bottom\[1\] is not "
                       "a whole number from 0 to 2"):
        layer.forward(bottom, top)
        layer.check_device()
    bottom[1].data = [0, 1, 0, 2]
    layer.forward(bottom, top)
    layer.check_device()                                  # it is said once


def test_softmax_loss_names_the_place_of_a_wrong_label_in_a_picture():
    labels = np.zeros((2, 3, 4))
    labels[1, 2, 0] = 12
    layer, bottom, top = softmax_loss((2, 5, 3, 4), (2, 3, 4), labels=labels, ignore_label=255)
    with pytest.raises(LayerError, match=r"label 12 at index \(1, 2, 0\).*or the ignore_label 255"):
        layer.forward(bottom, top)
        layer.check_device()


def test_softmax_loss_needs_as_many_labels_as_samples():
    with pytest.raises(LayerError, match=r"5 labels \(shape \(5,\)\).*\(4, 3\).*axis 1 need 4"):
        softmax_loss((4, 3), (5,), labels=[0] * 5)


def test_softmax_loss_labels_have_no_gradient():
    layer, bottom, top = softmax_loss((4, 3), (4,))
    assert [layer.allow_force_backward(i) for i in range(2)] == [True, False]
    layer.forward(bottom, top)
    with pytest.raises(LayerError, match="labels .* no gradient"):
        layer.backward(top, [True, True], bottom)


def test_softmax_loss_bottom_may_change_its_shape(xp):
    layer, bottom, top = softmax_loss((4, 3), (4,), num_top=2, xp=xp)
    layer.forward(bottom, top)
    bottom[0].reshape(6, 5, 2)
    bottom[1].reshape(6, 2)
    bottom[1].data[...] = 4
    layer.reshape(bottom, top)
    check_gradient(layer, bottom, top, ignored_tops=[1])
    assert top[1].shape == (6, 5, 2)


@pytest.mark.parametrize("shapes", [[(5, 6), (5, 6)], [(3, 2, 4), (3, 2, 4)], [(3, 8), (3, 2, 4)]])
class TestEuclideanLoss:
    def test_forward(self, xp, shapes):
        layer, bottom, top = make_layer("EuclideanLoss", shapes, xp=xp)
        layer.forward(bottom, top)
        a, b = (to_numpy(blob.data).ravel() for blob in bottom)
        expected = sum((s - t) ** 2 for s, t in zip(a, b)) / 2 / shapes[0][0]
        assert_allclose(float(top[0].data), expected, rtol=1e-13)
        assert top[0].shape == ()

    def test_gradient(self, xp, shapes):
        results = check_gradient(*make_layer("EuclideanLoss", shapes, xp=xp))
        assert [r.blob for r in results] == ["bottom0", "bottom1"]

    @pytest.mark.parametrize("propagate_down", [[True, False], [False, True]])
    def test_each_bottom_alone(self, xp, shapes, propagate_down):
        both = backward_once(*make_layer("EuclideanLoss", shapes, xp=xp))
        layer, bottom, top = make_layer("EuclideanLoss", shapes, xp=xp)
        one = backward_once(layer, bottom, top, propagate_down)
        for alone, expected, wanted in zip(one, both, propagate_down):
            if wanted:
                assert_array_equal(alone, expected)
        assert np.isnan(to_numpy(bottom[propagate_down.index(False)].diff)).all()


@pytest.mark.parametrize("shapes", [[(5, 6), (4, 6)], [(5, 6), (5, 7)], [(), ()]])
def test_euclidean_loss_bottoms_must_agree(shapes):
    with pytest.raises(LayerError, match="EuclideanLoss.*the bottoms differ: shapes"):
        make_layer("EuclideanLoss", shapes)


@pytest.mark.parametrize("type_name", ["SoftmaxWithLoss", "EuclideanLoss"])
def test_losses_take_two_bottoms(type_name):
    with pytest.raises(LayerError, match=r"takes 2 bottom blob\(s\), the file gives 1"):
        make_layer(type_name, (4, 3))
