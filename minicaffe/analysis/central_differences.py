"""Compare one blob's gradient with central differences of an objective."""

from typing import NamedTuple

import numpy as np

_STEP = {"float64": 1e-5, "float32": 1e-2}
_TOLERANCE = {"float64": 1e-6, "float32": 5e-2}
_RETRY = 100                     # by which the step is divided near a kink


class Result(NamedTuple):
    """What the check of one blob's gradient found.

    layer, blob     names; the blob is "weights 0", "weights 1" ... or a bottom's name
    count           entries compared, `kinks` of them (settled by _retry) included
    max_abs_error, max_rel_error    over all entries compared; NaN counts as infinite
    index, analytic, numeric        of the entry with the largest relative error
    ok              whether that error is within the tolerance, and the diff treated as it must be
    note            why there was nothing to compare, or what else is wrong
    """

    layer: str
    blob: str
    count: int
    max_abs_error: float
    max_rel_error: float
    index: tuple
    analytic: float
    numeric: float
    kinks: int
    ok: bool
    note: str = ""


class Settings(NamedTuple):
    """How to compare. The relative error is that to max(floor, |g|); samples: entries a blob."""

    step: float
    tolerance: float
    floor: float
    samples: int | None
    rng: np.random.Generator
    epsilon: float


def make_settings(dtype, step, tolerance, floor, samples, rng):
    """Settings; step and tolerance (None: the default) depend on the precision."""
    return Settings(step or _STEP[dtype.name], tolerance or _TOLERANCE[dtype.name], floor, samples,
                    rng if rng is not None else np.random.default_rng(0), np.finfo(dtype).eps)


def compare(layer_name, blob_name, blob, analytic, objective, settings):
    """A Result: entries of `analytic` against differences of objective(blob, index, delta)."""
    scale = max(settings.floor, float(abs(analytic).max(initial=0))) if settings.floor < 1 else 1.0
    worst, largest, kinks = (0.0, (), 0.0, 0.0), 0.0, 0
    chosen = np.arange(analytic.size)
    if settings.samples is not None and settings.samples < analytic.size:
        chosen = np.sort(settings.rng.choice(analytic.size, settings.samples, replace=False))
    for flat in chosen:
        index = tuple(int(i) for i in np.unravel_index(flat, analytic.shape))
        g = float(analytic[index])

        def evaluate(delta, index=index):
            return objective(blob, index, delta)
        numeric, kink = _slope(evaluate, g, scale, settings)
        kinks += kink
        largest = max(largest, _finite(abs(g - numeric)))
        error = _relative(g, numeric, scale)
        if error > worst[0] or not worst[1]:
            worst = error, index, g, numeric
    error, index, g, numeric = worst
    return Result(layer_name, blob_name, len(chosen), largest, error, index, g, numeric, kinks,
                  error <= settings.tolerance)


def _slope(evaluate, g, scale, settings):
    """(numeric gradient, whether a kink was near) of the entry whose analytic gradient is g."""
    h = settings.step
    numeric = (evaluate(h) - evaluate(-h)) / (2 * h)
    if _relative(g, numeric, scale) <= settings.tolerance:
        return numeric, False
    return (g, True) if _retry(evaluate, g, scale, settings) else (numeric, False)


def _retry(evaluate, g, scale, settings):
    """A clash again with a step 100 times smaller: is it a kink or a wrong gradient?

    If g fits now, a kink lay within the first step only. If the slopes to the left and right
    differ and don't draw nearer with the step, the entry sits on a kink, and g may be any slope
    between the two. Both count as kinks (True); otherwise the clash stands (False).
    """
    h, here = settings.step / _RETRY, evaluate(0.0)
    wide = abs(evaluate(settings.step) + evaluate(-settings.step) - 2 * here) / settings.step
    right, left = (evaluate(h) - here) / h, (here - evaluate(-h)) / h
    rounding = min(8 * settings.epsilon * abs(here) / (h * scale), 100 * settings.tolerance)
    allowed = settings.tolerance + rounding
    if _relative(g, (left + right) / 2, scale) <= allowed:
        return True
    on_kink = abs(right - left) > max(0.5 * wide, allowed * scale)
    return on_kink and abs(g - (left + right) / 2) <= abs(right - left) / 2 + allowed * scale


def _relative(g, numeric, scale):
    return _finite(abs(g - numeric) / max(scale, abs(numeric)))


def _finite(error):
    return error if np.isfinite(error) else np.inf
