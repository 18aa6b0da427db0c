"""LRN: local response normalisation."""

from ..backend import Kernels
from ..blob import Blob
from .base import Layer, register_layer

# One thread an entry, which reads its whole window: neighbours share it in cache. A window reaches
# `channels` channels and `places` rows and columns each way, one of them 0.
_KERNELS = Kernels("lrn", """
struct Window { int c0, c1, h0, h1, w0, w1; Index first; };

__device__ int least(Index i, Index reach) { return i < reach ? 0 : i - reach; }
__device__ int most(Index i, Index reach, Index n) { return i + reach < n ? i + reach : n - 1; }

__device__ Window window_of(Index i, Index C, Index H, Index W, Index channels, Index places)
{
    const Index image = i / (C * H * W), rest = i - image * C * H * W;
    const int c = rest / (H * W), place = rest - c * H * W;
    const int h = place / (int)W, w = place - h * (int)W;
    return Window{least(c, channels), most(c, channels, C), least(h, places), most(h, places, H),
                  least(w, places), most(w, places, W), image * C * H * W};
}

#define FOR_WINDOW(j, v) \
    for (int c = v.c0; c <= v.c1; ++c) \
        for (int h = v.h0; h <= v.h1; ++h) \
            for (Index j = v.first + (c * H + h) * W + v.w0, last = j - v.w0 + v.w1; j <= last; ++j)

extern "C" __global__ void lrn_forward(Index n, const Real* x, Real* scale, Real* y, Index C,
                                       Index H, Index W, Index channels, Index places, double k,
                                       double rate, double beta)
{
    GRID_LOOP(i, n) {
        const Window v = window_of(i, C, H, W, channels, places);
        Real sum = 0;
        FOR_WINDOW(j, v)
            sum += x[j] * x[j];
        const Real s = (Real)k + (Real)rate * sum;
        scale[i] = s;
        y[i] = x[i] * pow(s, (Real)-beta);
    }
}

extern "C" __global__ void lrn_backward(Index n, const Real* x, const Real* scale, const Real* y,
                                        const Real* dy, Real* dx, Index C, Index H, Index W,
                                        Index channels, Index places, double rate, double beta)
{
    GRID_LOOP(i, n) {
        const Window v = window_of(i, C, H, W, channels, places);
        Real sum = 0;
        FOR_WINDOW(j, v)
            sum += dy[j] * y[j] / scale[j];
        dx[i] = dy[i] * pow(scale[i], (Real)-beta) - (Real)(2 * beta * rate) * x[i] * sum;
    }
}
""")


@register_layer("LRN")
class LRN(Layer):
    """Divide each entry by a power of the mean square of its neighbours.

    n = local_size (odd); the window W(i) is the n channels around i at the same place
    (ACROSS_CHANNELS, m = n) or the n x n places around i in the same channel (WITHIN_CHANNEL,
    m = n^2, and k = 1 whatever the file says); what lies outside counts as 0:
    bottom[0]  x  (N, C, H, W)        top[0]  y  the same
    forward:   s_i = k + alpha/m sum_{j in W(i)} x_j^2        y_i = x_i s_i^-beta
    backward:  dx_i = dy_i s_i^-beta - 2 alpha beta/m x_i sum_{j in W(i)} dy_j y_j / s_j
    Source: lrn_layer.cpp; Krizhevsky et al., NIPS 2012, Section 3.3.
    """

    message = "lrn_param"

    def setup(self, bottom, top):
        p = self.param
        if p.local_size % 2 == 0:
            raise self.error(f"local_size {p.local_size} is not odd")
        if bottom[0] is top[0]:
            raise self.error("can't be computed in place: its gradient needs the bottom's values")
        self.within = p.norm_region == p.WITHIN_CHANNEL
        self.k = 1.0 if self.within else p.k
        self.rate = p.alpha / p.local_size ** (2 if self.within else 1)
        self.scale, self.factor, self.work, self.spare = (Blob(dtype=self.dtype) for _ in range(4))

    def reshape(self, bottom, top):
        if bottom[0].num_axes != 4:
            raise self.error(f"the bottom must have 4 axes (N, C, H, W), not {bottom[0].shape}")
        for blob in (top[0], self.scale, self.factor, self.work, self.spare):
            blob.reshape_like(bottom[0])

    def forward(self, bottom, top):
        x, scale, factor = bottom[0].data, self.scale.data, self.factor.data
        self.xp.multiply(x, x, out=self.work.data)
        self._window_sums(self.work.data, out=scale)
        scale *= self.rate
        scale += self.k
        self.xp.power(scale, -self.param.beta, out=factor)
        self.xp.multiply(x, factor, out=top[0].data)

    def forward_gpu(self, bottom, top):
        x = bottom[0].data
        _KERNELS("lrn_forward", self.dtype, x.size, x.size, x, self.scale.data, top[0].data,
                 *x.shape[1:], *self._reach(), self.k, self.rate, self.param.beta)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx, dy, work = bottom[0].diff, top[0].diff, self.work.data
        self.xp.multiply(dy, top[0].data, out=work)
        work /= self.scale.data
        self._window_sums(work, out=dx)
        dx *= bottom[0].data
        dx *= -2 * self.param.beta * self.rate
        self.xp.multiply(dy, self.factor.data, out=work)
        dx += work

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            x = bottom[0].data
            _KERNELS("lrn_backward", self.dtype, x.size, x.size, x, self.scale.data, top[0].data,
                     top[0].diff, bottom[0].diff, *x.shape[1:], *self._reach(), self.rate,
                     self.param.beta)

    def _reach(self):
        """How many channels, and rows and columns, a window reaches each way."""
        reach = self.param.local_size // 2
        return (0, reach) if self.within else (reach, 0)

    def _window_sums(self, a, out):
        if self.within:
            self._sums_along(2, a, out=self.spare.data)
            self._sums_along(3, self.spare.data, out=out)
        else:
            self._sums_along(1, a, out=out)

    def _sums_along(self, axis, a, out):
        """out_i = sum of a_j with |i - j| <= (n - 1)/2 along the axis; the arrays must differ."""
        a, out = a.swapaxes(0, axis), out.swapaxes(0, axis)       # views, with that axis in front
        out[...] = a
        for d in range(1, self.param.local_size // 2 + 1):
            out[d:] += a[:-d]
            out[:-d] += a[d:]
