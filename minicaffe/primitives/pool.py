"""Pooling windows of planes (n, H, W).

On the CPU by strided slices, never a reduction over window axes. On the GPU by one thread an output
and, backward, one thread an input that looks at all windows it is in: nothing is scattered, so that
the same numbers are added in the same order in every run, which is the CPU's order too.
"""

import itertools

import numpy as np

from ..backend import Kernels

# Geometry: planes of H x W entries, OH x OW windows of kh x kw, sh and sw apart, the first one
# ph and pw before the plane. What lies outside the plane is never read.
_SIZES = "H", "W", "OH", "OW", "kh", "kw", "sh", "sw", "ph", "pw"
_KERNELS = Kernels("pool", """
struct Span { int begin, end; };

__device__ Span entries_of(int window, int kernel, int stride, int pad, int limit)
{
    const int begin = window * stride - pad;
    const int end = begin + kernel < limit ? begin + kernel : limit;
    return Span{begin, end};
}

__device__ Span windows_with(int entry, int kernel, int stride, int pad, int windows)
{
    const int at = entry + pad;
    const int first = at < kernel ? 0 : (at - kernel) / stride + 1, behind = at / stride + 1;
    return Span{first, behind < windows ? behind : windows};
}

extern "C" __global__ void max_forward(Index n, const Real* x, Real* y, int* winner, GEOMETRY)
{
    GRID_LOOP(i, n) {
        const Index plane = i / (OH * OW);
        const int rest = i - plane * OH * OW, row = rest / (int)OW, column = rest - row * (int)OW;
        const Span down = entries_of(row, kh, sh, ph, H);
        const Span across = entries_of(column, kw, sw, pw, W);
        const Real* entries = x + plane * H * W;
        Real best = -3.4028234663852886e+38f;
        int at = -1;
        for (int r = down.begin < 0 ? 0 : down.begin; r < down.end; ++r)
            for (int c = across.begin < 0 ? 0 : across.begin; c < across.end; ++c) {
                const Real value = entries[r * W + c];
                if (value > best || value != value) {          // a NaN stays the maximum
                    best = value;
                    at = r * W + c;
                }
            }
        y[i] = best;
        winner[i] = at;
    }
}

extern "C" __global__ void max_backward(Index n, const Real* dy, const int* winner, Real* dx,
                                        GEOMETRY)
{
    GRID_LOOP(i, n) {
        const Index plane = i / (H * W);
        const int place = i - plane * H * W, row = place / (int)W, column = place - row * (int)W;
        const Span down = windows_with(row, kh, sh, ph, OH);
        const Span across = windows_with(column, kw, sw, pw, OW);
        Real sum = 0;
        for (int a = down.end - 1; a >= down.begin; --a)
            for (int b = across.end - 1; b >= across.begin; --b) {
                const Index window = (plane * OH + a) * OW + b;
                if (winner[window] == place)
                    sum += dy[window];
            }
        dx[i] = sum;
    }
}

__device__ Real size_of(int row, int column, GEOMETRY)
{
    const Span down = entries_of(row, kh, sh, ph, H + ph);     // cut to the padded plane
    const Span across = entries_of(column, kw, sw, pw, W + pw);
    return (Real)((down.end - down.begin) * (across.end - across.begin));
}

extern "C" __global__ void average_forward(Index n, const Real* x, Real* y, GEOMETRY)
{
    GRID_LOOP(i, n) {
        const Index plane = i / (OH * OW);
        const int rest = i - plane * OH * OW, row = rest / (int)OW, column = rest - row * (int)OW;
        const Span down = entries_of(row, kh, sh, ph, H);
        const Span across = entries_of(column, kw, sw, pw, W);
        const Real* entries = x + plane * H * W;
        Real sum = 0;
        for (int c = across.begin < 0 ? 0 : across.begin; c < across.end; ++c) {
            Real part = 0;
            for (int r = down.begin < 0 ? 0 : down.begin; r < down.end; ++r)
                part += entries[r * W + c];
            sum += part;
        }
        y[i] = sum / size_of(row, column, SIZES);
    }
}

extern "C" __global__ void average_backward(Index n, const Real* dy, Real* dx, GEOMETRY)
{
    GRID_LOOP(i, n) {
        const Index plane = i / (H * W);
        const int place = i - plane * H * W, row = place / (int)W, column = place - row * (int)W;
        const Span down = windows_with(row, kh, sh, ph, OH);
        const Span across = windows_with(column, kw, sw, pw, OW);
        Real sum = 0;
        for (int a = down.end - 1; a >= down.begin; --a) {
            Real part = 0;
            for (int b = across.end - 1; b >= across.begin; --b)
                part += dy[(plane * OH + a) * OW + b] / size_of(a, b, SIZES);
            sum += part;
        }
        dx[i] = sum;
    }
}
""".replace("GEOMETRY", ", ".join(f"Index {size}" for size in _SIZES))
  .replace("SIZES", ", ".join(_SIZES)))


# ---- GPU: arrays of the device; geometry = (H, W, OH, OW, kh, kw, sh, sw, ph, pw)

def max_forward_gpu(x, y, winners, geometry):
    """y (..., OH, OW) = the maximum of each window of x (..., H, W), and where it is.

    winners (32-bit integers like y) gets r * W + c of the first maximum; -1 in a window without
    entries, whose maximum is -FLT_MAX, as in Caffe.
    """
    _run("max_forward", y.size, x, y, winners, geometry=geometry)


def max_backward_gpu(dy, winners, dx, geometry):
    """dx (..., H, W) = the sum of dy (..., OH, OW) over the windows in which the entry won."""
    _run("max_backward", dx.size, dy, winners, dx, geometry=geometry)


def average_forward_gpu(x, y, geometry):
    """y = the sum over each window of x, over the window's size cut to the padded plane."""
    _run("average_forward", y.size, x, y, geometry=geometry)


def average_backward_gpu(dy, dx, geometry):
    """dx = the sum of dy over that size, of all windows the entry is in."""
    _run("average_backward", dx.size, dy, dx, geometry=geometry)


def _run(function, n, *arrays, geometry):
    _KERNELS(function, arrays[0].dtype, n, n, *arrays, *geometry)


# ---- CPU


def offsets(kernel, stride, output):
    """Slices of a padded plane that hold each window's entry (0, 0), (0, 1) .. in this order."""
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
