"""Times of layers, taken in turns so that a busy moment of the machine meets all of them."""

import time

import numpy as np

from minicaffe import backend
from minicaffe.blob import Blob
from minicaffe.layers import layer_class
from minicaffe.primitives.parallel import one_blas_thread
from minicaffe.proto import caffe_pb2

SHORTEST = 0.004                  # seconds a single measurement lasts at least, by repetition


def in_turns(calls, rounds):
    """{name: seconds of a call} of `calls` {name: function}: the shortest of `rounds` measurements.

    The shortest is the one that nothing else on the machine got into. Two calls go ahead uncounted;
    the device is waited for at the end of each measurement. Threads are minicaffe's, as many as in
    training, and not those of BLAS.
    """
    repeats, times = {}, {name: [] for name in calls}
    with one_blas_thread():
        for name, call in calls.items():
            _measure(call, 1)
            repeats[name] = max(1, int(SHORTEST / max(_measure(call, 1), 1e-7)))
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(_measure(call, repeats[name]))
    return {name: min(values) for name, values in times.items()}


def _measure(call, repeats):
    backend.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    backend.synchronize()
    return (time.perf_counter() - start) / repeats


class TimedLayer:
    """An inner product layer without bias, dense or of `blocks` blocks, on a random batch.

    forward()    one product, y = x w^T
    all_three()  and the two of the backward pass, dw += dy^T x and dx = dy w
    """

    def __init__(self, batch, inputs, outputs, blocks=1):
        fields = {"num_output": outputs, "bias_term": False,
                  "weight_filler": {"type": "uniform", "min": -0.1, "max": 0.1}}
        kind = "InnerProduct" if blocks == 1 else "BlockInnerProduct"
        cls = layer_class(kind)
        if blocks > 1:
            fields["num_blocks"] = blocks
        param = caffe_pb2.LayerParameter(name=f"{blocks} blocks", type=kind, bottom=["x"],
                                         top=["y"], **{cls.message: fields})
        rng = np.random.default_rng(0)
        self.layer = cls(param, "TRAIN", np.float32, rng)
        self.bottom, self.top = [Blob((batch, inputs), np.float32)], [Blob((), np.float32)]
        backend.assign(self.bottom[0].data, rng.uniform(-1, 1, (batch, inputs)))
        self.layer.set_up(self.bottom, self.top)
        backend.assign(self.top[0].diff, rng.uniform(-1, 1, (batch, outputs)))

    def forward(self):
        self.layer.forward(self.bottom, self.top)

    def all_three(self):
        self.layer.forward(self.bottom, self.top)
        self.layer.backward(self.top, [True], self.bottom)
