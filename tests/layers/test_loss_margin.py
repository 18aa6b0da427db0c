import numpy as np
import pytest
from helpers import backward_once, check_gradient, make_layer, random_labels
from numpy.testing import assert_allclose

from minicaffe.backend import to_numpy
from minicaffe.errors import LayerError

SIMILAR = np.array([1, 0, 0, 1, 0, 0, 0.5])          # Caffe takes the whole part: 0.5 is dissimilar


def contrastive(xp=None, shape=(7, 3), **fields):
    return make_layer("ContrastiveLoss", [shape, shape, (7,)], xp=xp, values={2: SIMILAR}, **fields)


def naive_contrastive(a, b, similar, margin, legacy):
    total = 0
    for x, y, s in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), similar):
        d = np.linalg.norm(x - y)
        if int(s):
            total += d ** 2
        else:
            total += max(margin - d ** 2, 0) if legacy else max(margin - d, 0) ** 2
    return total / 2 / len(a)


@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 1, 1)])
@pytest.mark.parametrize("margin", [1, 2.5, 9])
@pytest.mark.parametrize("legacy", [False, True])
class TestContrastiveLoss:
    def test_forward(self, xp, shape, margin, legacy):
        layer, bottom, top = contrastive(xp, shape, margin=margin, legacy_version=legacy)
        layer.forward(bottom, top)
        a, b = (to_numpy(blob.data) for blob in bottom[:2])
        assert top[0].shape == ()
        assert_allclose(to_numpy(top[0].data), naive_contrastive(a, b, SIMILAR, margin, legacy),
                        rtol=1e-12)

    def test_gradient(self, xp, shape, margin, legacy):
        """Exact but for the 1e-4 beside the distance."""
        layer, bottom, top = contrastive(xp, shape, margin=margin, legacy_version=legacy)
        check_gradient(layer, bottom, top, tolerance=1e-6 if legacy else 3e-4)


def test_contrastive_loss_of_equal_rows_has_a_finite_gradient(xp):
    layer, bottom, top = contrastive(xp)
    bottom[1].data[...] = bottom[0].data
    da, db, _ = backward_once(layer, bottom, top)
    assert not da.any() and not db.any()
    assert_allclose(to_numpy(top[0].data), 5 / 14)


def test_contrastive_loss_errors(xp):
    with pytest.raises(LayerError, match=r"must both be N x C, they are \(7, 3\) and \(7, 4\)"):
        make_layer("ContrastiveLoss", [(7, 3), (7, 4), (7,)], xp=xp)
    with pytest.raises(LayerError, match="must both be N x C"):
        make_layer("ContrastiveLoss", [(7, 3, 2), (7, 3, 2), (7,)], xp=xp)
    with pytest.raises(LayerError, match=r"bottom 2 of shape \(6,\) does not say of 7 pairs"):
        make_layer("ContrastiveLoss", [(7, 3), (7, 3), (6,)], xp=xp)
    layer, bottom, top = contrastive(xp)
    layer.forward(bottom, top)
    with pytest.raises(LayerError, match="similarity .* has no gradient"):
        layer.backward(top, [False, False, True], bottom)


@pytest.mark.parametrize("shape", [(6, 4), (5, 3, 1, 2)])
@pytest.mark.parametrize("norm", ["L1", "L2"])
class TestHingeLoss:
    def make(self, xp, shape, norm):
        labels = random_labels(shape[:1], int(np.prod(shape[1:])))
        return make_layer("HingeLoss", [shape, shape[:1]], xp=xp, values={1: labels}, norm=norm)

    def test_forward(self, xp, shape, norm):
        layer, bottom, top = self.make(xp, shape, norm)
        layer.forward(bottom, top)
        total = 0
        for row, label in zip(to_numpy(bottom[0].data).reshape(shape[0], -1),
                              to_numpy(bottom[1].data)):
            for k, score in enumerate(row):
                h = max(0, 1 - score if k == label else 1 + score)
                total += h if norm == "L1" else h * h
        assert_allclose(to_numpy(top[0].data), total / shape[0], rtol=1e-12)

    def test_gradient(self, xp, shape, norm):
        check_gradient(*self.make(xp, shape, norm))


def test_hinge_loss_errors(xp):
    with pytest.raises(LayerError, match=r"5 labels \(shape \(5,\)\) do not fit scores of shape"):
        make_layer("HingeLoss", [(6, 4), (5,)], xp=xp)
    layer, bottom, top = make_layer("HingeLoss", [(2, 4), (2,)], xp=xp, values={1: [0, 4]})
    with pytest.raises(LayerError, match="label 4 at index .* whole number from 0 to 3"):
        layer.forward(bottom, top)
        layer.check_device()
    with pytest.raises(LayerError, match="labels .* have no gradient"):
        layer.backward(top, [False, True], bottom)
