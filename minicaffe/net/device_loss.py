"""A net's loss on the GPU: added up there, fetched by nobody but whoever asks for it."""

from ..backend import Kernels

KERNELS = Kernels("net loss", """
extern "C" __global__ void add_loss(const Real* top, Real* diff, Index count, double weight,
                                    double* loss, Index first) {
    __shared__ double sums[256];
    double sum = 0;
    for (Index i = threadIdx.x; i < count; i += blockDim.x) {
        sum += top[i];
        diff[i] = (Real)weight;
    }
    sums[threadIdx.x] = sum;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) loss[0] = (first ? 0 : loss[0]) + weight * sums[0];
}
""")


class DeviceLoss:
    """The sum over layers of loss weight times tops; `value` is an array of one double.

    One launch a weighted top, which also fills the top's diff with the weight, as
    Layer.weighted_loss does on the CPU.
    """

    def __init__(self, xp):
        self.value = xp.zeros(())
        self._fresh = False

    def begin(self):
        """Forget the pass before."""
        self._fresh = True

    def add(self, layer, top):
        """Add the tops of a layer after its forward."""
        for blob, weight in zip(top, layer.loss_weights):
            if weight:
                KERNELS.by_blocks("add_loss", blob.dtype, 1, blob.data, blob.diff, blob.size,
                                  float(weight), self.value, int(self._fresh))
                self._fresh = False

    def end(self):
        """The value; 0 where no layer had a loss."""
        if self._fresh:
            self.value.fill(0)
        return self.value
