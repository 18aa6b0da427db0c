"""Pooling windows of planes (n, H, W) by strided slices: never a reduction over window axes."""

import itertools

import numpy as np


def offsets(kernel, stride, output):
    """The slices of a padded plane that hold each window's entry (0, 0), (0, 1) .. in this order."""
    for entry in itertools.product(*map(range, kernel)):
        yield tuple(slice(e, e + (n - 1) * s + 1, s) for e, n, s in zip(entry, output, stride))


def reduce_windows(ufunc, planes, kernel, stride, output, rows, out):
    """out (n, OH, OW) = ufunc over each window of planes (n, H, W): first down, then across.

    rows: scratch of shape (n, OH, W), with W the width of `planes`.
    """
    (kh, kw), (sh, sw), (oh, ow) = kernel, stride, output
    _reduce(ufunc, [planes[:, i:i + (oh - 1) * sh + 1:sh] for i in range(kh)], rows)
    _reduce(ufunc, [rows[:, :, j:j + (ow - 1) * sw + 1:sw] for j in range(kw)], out)


def _reduce(ufunc, terms, out):
    if len(terms) == 1:
        out[...] = terms[0]
        return
    ufunc(terms[0], terms[1], out=out)
    for term in terms[2:]:
        ufunc(out, term, out=out)


def first_maxima(planes, maxima, kernel, stride, output):
    """For each entry of the window, in order: its slices and where the window's maximum is there.

    Of several equal maxima the first counts. The boolean array is reused between steps.
    """
    here, taken = np.empty(maxima.shape, bool), np.zeros(maxima.shape, bool)
    for place in offsets(kernel, stride, output):
        np.equal(planes[(slice(None), *place)], maxima, out=here)
        np.greater(here, taken, out=here)                  # here and not yet taken
        np.logical_or(taken, here, out=taken)
        yield place, here


def spread_maxima(planes, maxima, gradient, kernel, stride, output, result, product):
    """result (n, H, W) = each window's gradient at its (first) maximum, summed over windows."""
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]
    result.fill(0)
    for place, here in first_maxima(planes, maxima, kernel, stride, output):
        target = result[(slice(None), *place)]
        if apart:                                          # no entry is in two windows
            np.multiply(gradient, here, out=target)
        else:
            np.multiply(gradient, here, out=product)
            target += product


def spread_sums(gradient, kernel, stride, output, rows, result):
    """result (n, H, W) = each window's gradient added to all its entries: the adjoint of a sum.

    rows: scratch of shape (n, OH, W).
    """
    (kh, kw), (sh, sw), (oh, ow) = kernel, stride, output
    rows.fill(0)
    for j in range(kw):
        rows[:, :, j:j + (ow - 1) * sw + 1:sw] += gradient
    result.fill(0)
    for i in range(kh):
        result[:, i:i + (oh - 1) * sh + 1:sh] += rows
