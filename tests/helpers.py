"""Making, running and checking one layer at a time. Import as `from helpers import make_layer`."""

import numpy as np

from minicaffe.analysis.gradient_check import check_layer
from minicaffe.backend import to_numpy
from minicaffe.blob import Blob
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2


def make_layer(type_name, shapes, *, xp=None, phase="TRAIN", dtype=np.float64, num_top=1,
               in_place=False, values=None, also=None, seed=0, **fields):
    """(layer, bottom, top), set up; bottoms and parameters hold Gaussian values of a fixed seed.

    shapes      of the bottoms: a list of tuples, or one tuple for a single bottom
    fields      of the layer's own message: axis=1, weight_filler={"type": "xavier"}
    also        other fields of LayerParameter: {"loss_weight": [2]}
    values      {bottom index: its values}, where Gaussian ones won't do
    in_place    top[0] is bottom[0]
    """
    cls = layer_class(type_name)
    shapes = [shapes] if isinstance(shapes, tuple) else shapes
    message = {cls.message: fields} if cls.message else {}
    param = caffe_pb2.LayerParameter(name="layer", type=type_name, **message, **(also or {}),
                                     bottom=[f"bottom{i}" for i in range(len(shapes))])
    rng = np.random.default_rng(seed)
    bottom = [Blob(shape, dtype) for shape in shapes]
    for i, blob in enumerate(bottom):
        given = rng.normal(size=blob.shape) if values is None or i not in values else values[i]
        blob.data[...] = given
    top = [bottom[0] if in_place and i == 0 else Blob((), dtype) for i in range(num_top)]
    layer = cls(param, phase, dtype, np.random.default_rng(seed + 1))
    layer.set_up(bottom, top)
    for blob in layer.blobs:
        blob.data[...] = rng.normal(size=blob.shape)
    return layer, bottom, top


def backward_once(layer, bottom, top, propagate_down=None, seed=7):
    """One forward and backward with random top diffs: [bottom diffs ..., parameter diffs ...].

    Bottom diffs hold NaN before; None stands for those that propagate_down leaves out.
    """
    if propagate_down is None:
        propagate_down = [layer.allow_force_backward(i) for i in range(len(bottom))]
    rng = np.random.default_rng(seed)
    before = [b.data.copy() for b in bottom]
    layer.forward(bottom, top)
    for blob in bottom:
        blob.diff[...] = np.nan
    for blob in top:
        blob.diff[...] = rng.normal(size=blob.shape)
    layer.backward(top, propagate_down, bottom)
    diffs = [to_numpy(b.diff).copy() if wanted else None
             for b, wanted in zip(bottom, propagate_down)]
    for blob, data in zip(bottom, before):            # in place they have changed
        blob.data[...] = data
    return diffs + [to_numpy(b.diff).copy() for b in layer.blobs]


def check_gradient(layer, bottom, top, **options):
    """Fail unless every gradient equals central differences; options are check_layer's."""
    results = check_layer(layer, bottom, top, **options)
    assert results, "nothing was checked"
    for result in results:
        assert result.ok, result
    return results


def random_labels(shape, num_classes, seed=3):
    """Whole numbers in 0 .. num_classes - 1."""
    return np.random.default_rng(seed).integers(num_classes, size=shape)


def check_only_what_is_asked(layer, bottom, top, flags, propagate_down):
    """backward fills what param_propagate_down = flags and propagate_down ask for, and no more."""
    expected = backward_once(layer, bottom, top)
    for blob in layer.blobs:
        blob.diff[...] = 0
    layer.param_propagate_down = list(flags)
    actual = backward_once(layer, bottom, top, [propagate_down])
    if propagate_down:
        np.testing.assert_array_equal(actual[0], expected[0])
    else:
        assert np.isnan(to_numpy(bottom[0].diff)).all()
    for flag, diff, full in zip(flags, actual[1:], expected[1:]):
        np.testing.assert_array_equal(diff, full if flag else 0 * full)


def batches(layer, top, n):
    """Copies of the tops of n forward passes, [(data, label), ...]."""
    result = []
    for _ in range(n):
        layer.forward([], top)
        result.append([blob.data.copy() for blob in top])
    return result


def check_adjoints(layer, bottom, top, naive, rtol):
    """Large float32 or float64 batches of a layer y = naive(layer, x, w, c), linear in x and in w.

    Forward by `naive`; backward because dx is the adjoint of x -> y, and dw that of w -> y.
    """
    dx, dw, dc = backward_once(layer, bottom, top)
    x, dy = to_numpy(bottom[0].data).astype(float), to_numpy(top[0].diff).astype(float)
    w, c = (to_numpy(blob.data).astype(float) for blob in layer.blobs)
    expected = naive(layer, x, w, c)
    np.testing.assert_allclose(to_numpy(top[0].data), expected, rtol=rtol,
                               atol=rtol * abs(expected).max())
    rng = np.random.default_rng(0)
    for kind, diff in (("x", dx), ("w", dw)):
        direction = rng.normal(size=diff.shape)
        image = naive(layer, direction, w, 0) if kind == "x" else naive(layer, x, direction, 0)
        scale = np.linalg.norm(dy) * np.linalg.norm(image)
        assert abs((dy * image).sum() - (diff * direction).sum()) < rtol * scale
    np.testing.assert_allclose(dc, dy.sum(axis=(0, 2, 3)), rtol=rtol,
                               atol=rtol * abs(dy).sum() / len(dc))
