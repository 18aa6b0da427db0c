"""Element-wise activations and Dropout; each may work in place (top: the bottom's own name)."""

import numpy as np

from ..backend import Kernels, assign
from ..blob import Blob
from ..primitives.device_loops import elementwise_kernels
from ..primitives.elementwise import PIECE, map_pieces, scratch_arrays
from ..primitives.parallel import for_each
from ..primitives.random import PHILOX_TEXT, start
from ..proto.caffe_pb2 import TRAIN
from .base import ElementwiseLayer, register_layer


_RELU = elementwise_kernels("relu", parameters="slope",
                            values="y = x < 0 ? (slope == 0 ? 0 : slope * x) : x;",
                            gradient="dx = x > 0 ? dy : slope * dy;")


@register_layer("ReLU")
class ReLU(ElementwiseLayer):
    """Rectified linear unit, leaky with negative_slope s.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = max(x, 0) + s min(x, 0)
    backward:  dx = dy where x > 0, s dy elsewhere (so s dy at 0)
    In place, y stands in x's memory; y > 0 where x > 0 as long as s >= 0.
    Source: relu_layer.cpp; Nair and Hinton, ICML 2010.
    """

    message = "relu_param"
    scratch = 2
    kernels = _RELU

    def setup(self, bottom, top):
        super().setup(bottom, top)
        if self.param.negative_slope < 0 and bottom[0] is top[0]:
            raise self.error(f"negative_slope {self.param.negative_slope:g} can't be in place: "
                             "the gradient needs the input's sign, which would be lost")

    def values(self, x, y, leak, _):
        xp, slope = self.xp, self.param.negative_slope
        if slope == 0:
            xp.maximum(x, 0, out=y)
        else:
            xp.multiply(x, slope, out=leak)
            (xp.maximum if slope <= 1 else xp.minimum)(x, leak, out=y)

    def gradient(self, x, y, dy, dx, factor, leak):
        xp = self.xp
        xp.greater(x, 0, out=factor)
        if 0 < self.param.negative_slope <= 1:
            xp.maximum(factor, self.param.negative_slope, out=factor)
        elif self.param.negative_slope != 0:
            xp.less_equal(x, 0, out=leak)
            leak *= self.param.negative_slope
            factor += leak
        xp.multiply(dy, factor, out=dx)

    def constants(self):
        return float(self.param.negative_slope),


_SIGMOID = elementwise_kernels("sigmoid", "y = tanh(x * Real(0.5)) * Real(0.5) + Real(0.5);",
                               "dx = dy * ((1 - y) * y);")


@register_layer("Sigmoid")
class Sigmoid(ElementwiseLayer):
    """Logistic function.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = 1 / (1 + exp(-x)), computed as tanh(x / 2) / 2 + 1/2, which can't overflow
    backward:  dx = dy y (1 - y)
    Source: sigmoid_layer.cpp.
    """

    message = "sigmoid_param"
    scratch = 1
    kernels = _SIGMOID

    def values(self, x, y, _):
        self.xp.multiply(x, 0.5, out=y)
        self.xp.tanh(y, out=y)
        y *= 0.5
        y += 0.5

    def gradient(self, x, y, dy, dx, slope):
        self.xp.subtract(1, y, out=slope)
        slope *= y
        self.xp.multiply(dy, slope, out=dx)


_TANH = elementwise_kernels("tanh", "y = tanh((double)x);", "dx = (1 + y) * ((1 - y) * dy);")


@register_layer("TanH")
class TanH(ElementwiseLayer):
    """Hyperbolic tangent.

    bottom[0]  x  any shape        top[0]  y  the same
    forward:   y = tanh(x)
    backward:  dx = dy (1 - y^2), as dy (1 - y)(1 + y), which keeps its digits where y nears 1
    Source: tanh_layer.cpp. Like C's tanh there, the function is evaluated in double precision:
    NumPy's single precision is off by several units in the last place, which 1 - y^2 magnifies.
    """

    message = "tanh_param"
    scratch = 1
    kernels = _TANH

    def values(self, x, y, _):
        self.xp.tanh(x, out=y, dtype=np.float64, casting="same_kind")

    def gradient(self, x, y, dy, dx, slope):
        self.xp.subtract(1, y, out=slope)
        slope *= dy
        self.xp.add(1, y, out=dx)
        dx *= slope


_DROPOUT = Kernels("dropout", PHILOX_TEXT + """
// A thread's four numbers are for entries that lie a quarter of the blob apart.
__device__ void drop(Index n, const Real* a, Real* b, const unsigned* state, unsigned pass,
                     Wide threshold, double scale)
{
    const Index quarter = (n + 3) / 4;
    GRID_LOOP(i, quarter) {
        const Words drawn = philox(state[0], state[1], i, pass);
        for (int k = 0; k < 4; ++k) {
            const Index j = i + k * quarter;
            if (j < n)
                b[j] = a[j] * (drawn.word[k] >= threshold ? (Real)scale : 0);
        }
    }
}

extern "C" __global__ void forward(Index n, const Real* x, Real* y, unsigned* state,
                                   Wide threshold, double scale)
{
    drop(n, x, y, state, begin_pass(state), threshold, scale);
}

extern "C" __global__ void backward(Index n, const Real* dy, Real* dx, const unsigned* state,
                                    Wide threshold, double scale)
{
    drop(n, dy, dx, state, state[2] - 1, threshold, scale);
}
""")


@register_layer("Dropout")
class Dropout(ElementwiseLayer):
    """Zero a random share of the entries while training.

    r = dropout_ratio, in [0, 1); m = 1 with probability 1 - r, else 0, drawn anew each forward:
    bottom[0]  x  any shape        top[0]  y  the same
    forward:   TRAIN  y = x m / (1 - r)        TEST  y = x
    backward:  TRAIN  dx = dy m / (1 - r)      TEST  dx = dy
    Source: dropout_layer.cpp; Srivastava et al., JMLR 15 (2014). 32-bit numbers are drawn and those
    below r 2^32 dropped (as in Caffe's dropout_layer.cu); either precision sees the same m. On the
    GPU they are drawn in the kernel (primitives/random.py), and drawn again for the gradient.
    """

    message = "dropout_param"

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.ratio = self.param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise self.error(f"dropout_ratio {self.ratio:g} is not at least 0 and less than 1")
        self.draws = np.empty((), np.uint32)
        self.threshold = np.uint32(min(round(self.ratio * 2**32), 2**32 - 1))
        if self.xp is not np and self.phase == TRAIN:
            self.random = Blob((4,), np.uint32)
            assign(self.random.data, start(self.rng))
            self.carried = (self.random,)               # into snapshots

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if self.xp is np and self.phase == TRAIN and self.draws.shape != bottom[0].shape:
            self.draws = np.empty(bottom[0].shape, np.uint32)

    def forward(self, bottom, top):
        if self.phase == TRAIN:
            self._draw()
        self._drop(bottom[0].data, top[0].data)

    def forward_gpu(self, bottom, top):
        self._drop_gpu("forward", bottom[0].data, top[0].data)

    def _draw(self):
        """Fill `draws`; pieces have generators of their own, so that threads can share them out."""
        seed = int(self.rng.integers(2**63))

        def piece(i, worker):
            part = self.draws.reshape(-1)[i * PIECE:(i + 1) * PIECE]
            pairs = np.random.SFC64([seed, i]).random_raw(-(-part.size // 2))       # 64 bits each
            part[...] = pairs.view(np.uint32)[:part.size]

        for_each(piece, -(-self.draws.size // PIECE))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self._drop(top[0].diff, bottom[0].diff)

    def backward_gpu(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self._drop_gpu("backward", top[0].diff, bottom[0].diff)

    def _drop_gpu(self, function, a, b):
        if self.phase == TRAIN:
            _DROPOUT(function, self.dtype, -(-a.size // 4), a.size, a, b, self.random.data,
                     np.int64(self.threshold), 1 / (1 - self.ratio))
        elif a is not b:
            b[...] = a

    def _drop(self, a, b):
        """b = a m / (1 - r), or b = a in TEST."""
        if self.phase == TRAIN:
            map_pieces(self.xp, self._scale_kept, a, self.xp.asarray(self.draws), b, scratch=1)
        elif a is not b:
            map_pieces(self.xp, lambda a, b: self.xp.copyto(b, a), a, b)

    def _scale_kept(self, a, draws, b, m):
        kept, = scratch_arrays(self.xp, 1, a.shape, bool)
        self.xp.greater_equal(draws, self.threshold, out=kept)
        self.xp.multiply(kept, 1 / (1 - self.ratio), out=m, dtype=self.dtype)
        self.xp.multiply(a, m, out=b)
