"""Max pooling on planes taken apart by stride, so that every step runs over contiguous memory.

Entry (i, j) of all windows lies at every stride-th row and column. With the rows and columns of a
plane sorted by their remainders modulo the stride into stride_h x stride_w smaller planes, these
entries are one small plane, shifted: all windows of all planes are met by shifted flat arrays.
"""

import itertools

import numpy as np


class PhasedMaxPool:
    """Forward and backward of max pooling for planes (n, H, W) and one geometry.

    kernel, stride, pad, size (H, W), output (OH, OW): pairs. Padding never wins; of equal maxima
    the first in row order does.
    """

    def __init__(self, kernel, stride, pad, size, output):
        self.kernel, self.stride, self.pad, self.size, self.output = kernel, stride, pad, size, output
        ends = [max((o - 1) * s + k, h + p) for o, s, k, h, p in
                zip(output, stride, kernel, size, pad)]
        self.small = tuple(-(-end // s) for end, s in zip(ends, stride))     # of one phase
        self.places = [self._place(*phase) for phase in itertools.product(*map(range, stride))]

    def pays(self):
        """Whether this way is the faster one: windows that overlap and lie densely."""
        overlap = any(k > s for k, s in zip(self.kernel, self.stride))
        return overlap and self.small[0] * self.small[1] <= 2 * self.output[0] * self.output[1]

    def forward(self, x, y, work):
        """y (n, OH, OW) = the maximum of each window of x (n, H, W)."""
        entries = self._entries(self._split(x, work))
        wide = work.get("wide", (len(x), *self.small))
        best = wide.reshape(-1)[:entries[0].size]
        if len(entries) == 1:
            best[...] = entries[0]
        for k, entry in enumerate(entries[1:]):
            np.maximum(best if k else entries[0], entry, out=best)
        y[...] = self._valid(wide)

    def backward(self, x, y, dy, dx, work):
        """dx (n, H, W) = dy (n, OH, OW) added where the first maximum of each window is."""
        phases = self._split(x, work)
        entries = self._entries(phases)
        length = entries[0].size
        maxima = self._widen(y, work.get("wide", (len(x), *self.small)))[:length]
        gradient = self._widen(dy, work.get("gradient", (len(x), *self.small)))[:length]
        product = work.get("product", (length,))
        result = work.get("result", phases.shape)
        result.fill(0)
        here, taken = np.empty(length, bool), np.zeros(length, bool)
        for entry, target in zip(entries, self._entries(result)):
            np.equal(entry, maxima, out=here)
            np.greater(here, taken, out=here)              # here and not yet taken
            np.logical_or(taken, here, out=taken)
            np.multiply(gradient, here, out=product)
            target += product
        for small, (inside, source) in zip(self._each(result), self.places):
            dx[source] = small[inside]

    def _place(self, a, b):
        """Where phase (a, b) of the padded plane lies: slices in the phase and in the plane."""
        inside, source = [slice(None)], [slice(None)]
        for phase, stride, pad, size in zip((a, b), self.stride, self.pad, self.size):
            skip = max(0, -(-(pad - phase) // stride))      # leading entries that are padding
            start = phase + stride * skip - pad
            count = len(range(start, size, stride))
            inside.append(slice(skip, skip + count))
            source.append(slice(start, start + stride * (count - 1) + 1 if count else start, stride))
        return tuple(inside), tuple(source)

    def _split(self, x, work):
        """The phases (stride_h, stride_w, n, small_h, small_w) of x, its border -FLT_MAX (in either precision, as Caffe)."""
        phases = work.get("phases", (*self.stride, len(x), *self.small))
        if self.size != tuple(s * n for s, n in zip(self.stride, self.small)):
            phases.fill(np.finfo(np.float32).min)
        for small, (inside, source) in zip(self._each(phases), self.places):
            small[inside] = x[source]
        return phases

    def _entries(self, phases):
        """Entry (0, 0), (0, 1) .. of all windows: flat views of one length, one window an index."""
        flat = phases.reshape(*self.stride, -1)
        (kh, kw), (sh, sw), width = self.kernel, self.stride, self.small[1]
        length = flat.shape[2] - (kh - 1) // sh * width - (kw - 1) // sw
        return [flat[i % sh, j % sw, i // sh * width + j // sw:][:length]
                for i in range(kh) for j in range(kw)]

    def _each(self, phases):
        return [phases[phase] for phase in itertools.product(*map(range, self.stride))]

    def _valid(self, wide):
        return wide[:, :self.output[0], :self.output[1]]

    def _widen(self, a, wide):
        """a (n, OH, OW) in a plane of a phase's size, zero elsewhere, flat."""
        wide.fill(0)
        self._valid(wide)[...] = a
        return wide.reshape(-1)
