import numpy as np
import pytest
from helpers import make_layer, random_labels
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SHAPES = [((40, 5), (40,), 1), ((40, 5), (40, 1, 1, 1), 1), ((4, 5, 3, 2), (4, 3, 2), 1),
          ((4, 3, 5), (4, 3), -1)]


def run(scores, labels, num_top=2, **fields):
    scores, labels = np.asarray(scores, float), np.asarray(labels, float)
    layer, bottom, top = make_layer("Accuracy", [scores.shape, labels.shape], num_top=num_top,
                                    values={0: scores, 1: labels}, **fields)
    layer.forward(bottom, top)
    layer.check_device()
    return [to_numpy(t.data) for t in top]


def naive(scores, labels, axis, top_k, ignore_label):
    """(share of right answers, the same for each label), one sample after the other."""
    rows = np.moveaxis(scores, axis, -1).reshape(-1, scores.shape[axis])
    right, number = np.zeros(scores.shape[axis]), np.zeros(scores.shape[axis])
    for row, label in zip(rows, labels.ravel()):
        if label != ignore_label:
            better = sum(row[c] >= row[label] for c in range(len(row)) if c != label)
            right[label] += better < top_k
            number[label] += 1
    return right.sum() / max(number.sum(), 1), right / np.maximum(number, 1)


@pytest.mark.parametrize("shape, label_shape, axis", SHAPES)
@pytest.mark.parametrize("top_k", [1, 3, 5])
@pytest.mark.parametrize("ignore_label", [None, 2])
def test_accuracy_equals_counting(xp, shape, label_shape, axis, top_k, ignore_label):
    scores = np.random.default_rng(0).integers(4, size=shape).astype(float)       # many ties
    labels = random_labels(label_shape, 5)
    ignoring = {} if ignore_label is None else {"ignore_label": ignore_label}
    total, each = run(scores, labels, xp=xp, axis=axis, top_k=top_k, **ignoring)
    expected_total, expected_each = naive(scores, labels, axis, top_k, ignore_label)
    assert total.shape == () and each.shape == (5,)
    assert_allclose(total, expected_total, rtol=1e-14)
    assert_allclose(each, expected_each, rtol=1e-14)


def test_ties_count_as_better(xp):
    total, = run(np.ones((6, 4)), [0, 1, 2, 3, 0, 1], num_top=1, top_k=3)
    assert total == 0
    total, = run(np.ones((6, 4)), [0, 1, 2, 3, 0, 1], num_top=1, top_k=4)
    assert total == 1


def test_nothing_to_count_gives_zero(xp):
    total, each = run([[1, 0], [0, 1]], [9, 9], ignore_label=9)
    assert total == 0
    assert_array_equal(each, [0, 0])


def test_scores_of_nan_are_never_right(xp):
    total, each = run([[np.nan, np.nan], [0, np.nan]], [0, 0], top_k=2)
    assert total == 0.5
    assert_array_equal(each, [0.5, 0])


@pytest.mark.parametrize("label", [3, -1, 0.5, np.nan])
def test_a_wrong_label_is_named(label):
    with pytest.raises(LayerError, match=rf"label {label:g} at index \(1,\).*from 0 to 2"):
        run(np.ones((2, 3)), [0, label])


@pytest.mark.parametrize("top_k", [0, 4])
def test_top_k_must_be_a_number_of_classes(top_k):
    with pytest.raises(LayerError, match=f"top_k {top_k} is not from 1 to the number of classes 3"):
        run(np.ones((2, 3)), [0, 1], top_k=top_k)


def test_labels_must_fit_the_scores():
    with pytest.raises(LayerError, match=r"3 labels \(shape \(3,\)\).*need 2"):
        run(np.ones((2, 3)), [0, 1, 2])


def test_accuracy_has_no_gradient():
    layer, bottom, top = make_layer("Accuracy", [(2, 3), (2,)], values={1: [0, 1]})
    assert not layer.allow_force_backward(0)
    with pytest.raises(LayerError, match="no gradient"):
        layer.backward(top, [True, False], bottom)
    layer.backward(top, [False, False], bottom)
