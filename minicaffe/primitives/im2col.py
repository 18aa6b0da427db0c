"""Convolution as matrix products: images to columns of windows and back.

On the CPU a chunk of m images is held with the image index last: (C, *size, m). A window's row is
then out_width * m contiguous numbers, so that the copies run at memory speed, and one product
serves all m images. Any number of spatial axes. The GPU reads and writes images (m, C, *size) where
they are, on 1 to 3 spatial axes: see Windows.
"""

import itertools
import math

import numpy as np

from ..backend import Kernels

MOST_AXES = 3                # spatial axes that the GPU's kernels take


def padded_shape(channels, size, pad, m):
    """Shape of a chunk of m images with its zero border: (C, *(size + 2 pad), m)."""
    return (channels, *(s + 2 * p for s, p in zip(size, pad)), m)


def load(padded, images, pad, cyclic=False):
    """Write images (m, C, *size) into a chunk (C, *(size + 2 pad), m).

    The border is zero or, if `cyclic`, what lies on the image's other side (pad <= size).
    """
    if any(pad) and not cyclic:
        padded.fill(0)
    interior(padded, pad)[...] = _image_last(images)
    if cyclic:
        for border, origin in _wrapped(padded, pad):
            padded[border] = padded[origin]


def unwrap(padded, pad):
    """Add a chunk's border to the interior it was copied from: the adjoint of load's wrapping."""
    for border, origin in _wrapped(padded, pad):
        padded[origin] += padded[border]


def _wrapped(padded, pad):
    """(border, origin) of each side; later axes copy the borders of earlier ones: the corners."""
    for axis, p in enumerate(pad, 1):
        if p:
            before, end = (slice(None),) * axis, padded.shape[axis] - p     # end: of the interior
            yield before + (slice(0, p),), before + (slice(end - p, end),)
            yield before + (slice(end, None),), before + (slice(p, 2 * p),)


def store(images, padded, pad):
    """Write a chunk's interior to images (m, C, *size): the inverse of load."""
    _image_last(images)[...] = interior(padded, pad)


def interior(padded, pad):
    """The view of a chunk without its border."""
    return padded[(slice(None), *(slice(p, -p if p else None) for p in pad))]


def _image_last(images):
    return images.transpose(*range(1, images.ndim), 0)


def windows(padded, kernel, stride, dilation, output):
    """All windows of a chunk as a read-only view: (C, *kernel, *output, m)."""
    channels, *steps, image = padded.strides
    strides = (channels, *(d * s for d, s in zip(dilation, steps)),
               *(t * s for t, s in zip(stride, steps)), image)
    shape = (padded.shape[0], *kernel, *output, padded.shape[-1])
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def add_windows(padded, columns, kernel, stride, dilation, output):
    """padded += columns (C, *kernel, *output, m), each window where it came from (col2im)."""
    for offset in itertools.product(*map(range, kernel)):
        place = tuple(slice(o * d, o * d + (n - 1) * t + 1, t)
                      for o, d, n, t in zip(offset, dilation, output, stride))
        padded[(slice(None), *place)] += columns[(slice(None), *offset)]


class Workspace:
    """Scratch arrays by name, made on first use and kept; a thread has its own."""

    def __init__(self, dtype, xp=np):
        self.dtype, self.xp, self._arrays = dtype, xp, {}

    def get(self, name, shape):
        """An uninitialised array of that shape; the same memory at each call with this name."""
        size = math.prod(shape)
        flat = self._arrays.get(name)
        if flat is None or flat.size < size:
            flat = self._arrays[name] = self.xp.empty(size, self.dtype)
        return flat[:size].reshape(shape)


# ---- the GPU's

# A thread of `columns` writes one place of all taps, neighbouring threads neighbouring places; one
# of `images` gathers all that falls on one pixel, always in the same order. `correlate` needs no
# columns: a block keeps the weights of 16 features, a thread the 16 sums of one place.
KERNELS = Kernels("im2col", r"""
struct Axis { int size, output, kernel, stride, pad, dilation, cyclic; };

__device__ Axis axis(const Wide *g, int a)
{
    g += 7 * a;
    return {(int)g[0], (int)g[1], (int)g[2], (int)g[3], (int)g[4], (int)g[5], (int)g[6]};
}

/* Where a window's tap lies on the image; negative on the border of zeros. */
__device__ int pixel(const Axis &a, int place, int tap)
{
    int at = place * a.stride + tap * a.dilation - a.pad;
    if (a.cyclic)
        at += at < 0 ? a.size : at >= a.size ? -a.size : 0;
    return at < a.size ? at : -1;
}

/* The window whose tap lies on the pixel, `wrap` images further on; negative if there is none. */
__device__ int place(const Axis &a, int pixel, int tap, int wrap)
{
    int at = pixel + wrap * a.size + a.pad - tap * a.dilation;
    int place = a.stride == 1 ? at : at / a.stride;
    return place * a.stride == at && place < a.output ? place : -1;
}

extern "C" __global__ void columns(Index n, Index C, Index step, Index row, const Wide *g,
                                   const Real *x, Real *columns)
{
    const Axis A = axis(g, 0), B = axis(g, 1), D = axis(g, 2);
    const int places = A.output * B.output * D.output, taps = A.kernel * B.kernel * D.kernel;
    GRID_LOOP(i, n) {
        Index c = i / (n / C), j = i % (n / C), image = j / places;
        int p = j % places, c0 = p % D.output, b0 = p / D.output % B.output;
        int a0 = p / D.output / B.output;
        const Real *from = x + (image * C + c) * A.size * B.size * D.size;
        Real *to = columns + image * step + c * taps * row + p;
        for (int ta = 0; ta < A.kernel; ta++) {
            int a = pixel(A, a0, ta);
            for (int tb = 0; tb < B.kernel; tb++) {
                int b = pixel(B, b0, tb);
                for (int td = 0; td < D.kernel; td++, to += row) {
                    int d = pixel(D, c0, td);
                    *to = a < 0 || b < 0 || d < 0 ? 0 : from[(a * B.size + b) * D.size + d];
                }
            }
        }
    }
}

extern "C" __global__ void images(Index n, Index C, Index step, Index row, const Wide *g,
                                  const Real *columns, Real *x)
{
    const Axis A = axis(g, 0), B = axis(g, 1), D = axis(g, 2);
    const int pixels = A.size * B.size * D.size, taps = A.kernel * B.kernel * D.kernel;
    GRID_LOOP(i, n) {
        int p = i % pixels, d0 = p % D.size, b0 = p / D.size % B.size, a0 = p / D.size / B.size;
        Index c = i / pixels % C, image = i / pixels / C;
        const Real *from = columns + image * step + c * taps * row;
        Real sum = 0;
        for (int wrap = 0; wrap < (A.cyclic ? 27 : 1); wrap++) {
            int wa = A.cyclic ? wrap % 3 - 1 : 0, wb = A.cyclic ? wrap / 3 % 3 - 1 : 0;
            int wd = A.cyclic ? wrap / 9 - 1 : 0;
            for (int ta = 0; ta < A.kernel; ta++) {
                int a = place(A, a0, ta, wa);
                for (int tb = 0; a >= 0 && tb < B.kernel; tb++) {
                    int b = place(B, b0, tb, wb);
                    for (int td = 0; b >= 0 && td < D.kernel; td++) {
                        int d = place(D, d0, td, wd);
                        if (d >= 0)
                            sum += from[((ta * B.kernel + tb) * D.kernel + td) * row
                                        + (a * B.output + b) * D.output + d];
                    }
                }
            }
        }
        x[i] = sum;
    }
}

struct alignas(16) Four { Real of[4]; };                  // read from shared memory at once

extern "C" __global__ void correlate(Index m, Index C, Index F, const Wide *g, const Real *x,
                                     const Real *w, Index has_bias, const Real *bias, Real *y)
{
    __shared__ Four weights[128 * 4];
    const Axis A = axis(g, 0), B = axis(g, 1), D = axis(g, 2);
    const int places = A.output * B.output * D.output;
    const int terms = C * A.kernel * B.kernel * D.kernel;
    const Index blocks = (m * places + 255) / 256, j = blockIdx.x % blocks * 256 + threadIdx.x;
    const int first = blockIdx.x / blocks * 16, here = F - first < 16 ? F - first : 16;
    for (int i = threadIdx.x; i < terms * 16; i += 256)
        weights[i / 4].of[i % 4] = i % 16 < here ? w[(first + i % 16) * terms + i / 16] : 0;
    __syncthreads();
    if (j >= m * places)
        return;
    const Index image = j / places;
    const int p = j % places, d0 = p % D.output, b0 = p / D.output % B.output;
    const int a0 = p / D.output / B.output;
    const Real *from = x + image * C * A.size * B.size * D.size;
    const Four *weight = weights;
    Real sums[16] = {0};
    for (int c = 0; c < C; c++, from += A.size * B.size * D.size)
        for (int ta = 0; ta < A.kernel; ta++) {
            int a = pixel(A, a0, ta);
            for (int tb = 0; tb < B.kernel; tb++) {
                int b = pixel(B, b0, tb);
                for (int td = 0; td < D.kernel; td++, weight += 4) {
                    int d = pixel(D, d0, td);
                    if (a < 0 || b < 0 || d < 0)
                        continue;
                    Real value = from[(a * B.size + b) * D.size + d];
                    #pragma unroll
                    for (int q = 0; q < 4; q++) {
                        const Four four = weight[q];
                        #pragma unroll
                        for (int f = 0; f < 4; f++)
                            sums[4 * q + f] += four.of[f] * value;
                    }
                }
            }
        }
    #pragma unroll
    for (int f = 0; f < 16; f++)
        if (f < here)
            y[(image * F + first + f) * places + p]
                = sums[f] + (has_bias ? bias[first + f] : (Real)0);
}

extern "C" __global__ void rows_of(Index n, Index m, Index F, Index S, const Real *y, Real *rows)
{
    GRID_LOOP(i, n) rows[i] = y[(i / S % m * F + i / S / m) * S + i % S];
}

extern "C" __global__ void features_of(Index n, Index m, Index F, Index S, const Real *rows,
                                       Index has_bias, const Real *bias, Real *y)
{
    GRID_LOOP(i, n) {
        Index f = i / S % F;
        y[i] = rows[(f * m + i / S / F) * S + i % S] + (has_bias ? bias[f] : (Real)0);
    }
}
""")


class Windows:
    """The windows of images x (m, C, *size) on the GPU, for one geometry and size.

    Columns are written and read with two steps, both in numbers: `step` from one image's to the
    next one's, `row` from one tap to the next; the places of an image lie side by side.
    """

    most_terms = 128             # C * taps up to which `correlate` serves

    def __init__(self, xp, channels, size, output, geometry):
        self.channels, self.places, self.pixels = channels, math.prod(output), math.prod(size)
        axes = [*zip(size, output, geometry.kernel, geometry.stride, geometry.pad,
                     geometry.dilation, (geometry.cyclic,) * len(size))]
        axes = [(1, 1, 1, 1, 0, 1, geometry.cyclic)] * (MOST_AXES - len(size)) + axes
        self.geometry = xp.asarray(axes, np.int64)

    def columns(self, x, columns, step, row):
        """columns = the windows of x."""
        threads = len(x) * self.channels * self.places
        KERNELS("columns", x.dtype, threads, threads, self.channels, step, row, self.geometry,
                x, columns)

    def images(self, columns, x, step, row):
        """x = the sums of what columns hold for each pixel: the adjoint of `columns`."""
        threads = len(x) * self.channels * self.pixels
        KERNELS("images", x.dtype, threads, threads, self.channels, step, row, self.geometry,
                columns, x)

    def correlate(self, w, x, y, bias):
        """y (m, F, *output) = w x, one product a window, + bias (F,) unless that is None."""
        m, features = y.shape[:2]
        blocks = -(-m * self.places // 256) * -(-features // 16)
        KERNELS.by_blocks("correlate", x.dtype, blocks, m, self.channels, features, self.geometry,
                          x, w, int(bias is not None), x if bias is None else bias, y)


def rows_of(y, rows):
    """rows (F, m, ...) = features y (m, F, ...), on the GPU."""
    m, features = y.shape[:2]
    KERNELS("rows_of", y.dtype, y.size, y.size, m, features, y.size // (m * features), y, rows)


def features_of(rows, y, bias=None):
    """Features y (m, F, ...) = rows (F, m, ...) + bias (F,) unless that is None, on the GPU."""
    m, features = y.shape[:2]
    KERNELS("features_of", y.dtype, y.size, y.size, m, features, y.size // (m * features), rows,
            int(bias is not None), rows if bias is None else bias, y)
