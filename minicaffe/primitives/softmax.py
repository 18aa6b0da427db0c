"""Softmax and the reading of class labels: array code that several layer families share."""

import numpy as np


def softmax(xp, x, axis, out):
    """out = exp(x) / sum over `axis` of exp(x); the maximum comes off first: no overflow."""
    xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    xp.exp(out, out=out)
    xp.divide(out, out.sum(axis=axis, keepdims=True), out=out)


def class_indices(xp, labels, num_classes, ignore_label, error):
    """Float labels as integer indices, and which of them count: (indices, valid), of labels' shape.

    Labels equal to `ignore_label` (None: there is none) become index 0 with valid False. Any other
    that is not a whole number in 0 .. num_classes - 1 raises `error`.
    """
    good = (labels >= 0) & (labels < num_classes) & (labels == xp.floor(labels))
    valid = xp.ones(labels.shape, bool) if ignore_label is None else labels != ignore_label
    if not (good | ~valid).all():
        at = np.unravel_index(int((good | ~valid).argmin()), labels.shape)
        allowed = f"a whole number from 0 to {num_classes - 1}"
        if ignore_label is not None:
            allowed += f" or the ignore_label {ignore_label}"
        place = tuple(int(i) for i in at)
        raise error(f"label {float(labels[at]):.9g} at index {place} of bottom[1] is not {allowed}")
    return xp.where(valid, labels, 0).astype(np.intp), valid
