"""How long each layer of a net takes, forward and backward.

    times = time_net(minicaffe.Net("net.prototxt", minicaffe.TRAIN), iterations=50)
    print(times.forward.median, times.layers[0].forward.median)        # milliseconds
"""

import time
from typing import NamedTuple

import numpy as np

from .. import backend
from ..errors import Error
from ..primitives.parallel import one_blas_thread


class Span(NamedTuple):
    """Times of repeated runs, in milliseconds."""

    median: float
    min: float
    mean: float


class LayerTime(NamedTuple):
    """A layer's times; backward is None where the net's backward pass leaves the layer out."""

    name: str
    type: str
    forward: Span
    backward: Span | None


class NetTime(NamedTuple):
    """The times of a net: of its layers, of whole passes, and of both passes together."""

    layers: list
    forward: Span
    backward: Span
    forward_backward: Span
    iterations: int

    def as_dict(self):
        """All of it as dictionaries and lists, for JSON."""
        whole = {name: span._asdict() for name, span in self._asdict().items()
                 if isinstance(span, Span)}
        layers = [{"name": layer.name, "type": layer.type, "forward": layer.forward._asdict(),
                   "backward": layer.backward and layer.backward._asdict()}
                  for layer in self.layers]
        return {"unit": "ms", "iterations": self.iterations, **whole, "layers": layers}


def time_net(net, iterations=50, warm_up=3):
    """Time `iterations` forward and backward passes, after `warm_up` ones that don't count.

    The passes are the net's own (same order, same layers left out), without an update. A data
    layer's time is what the pass waits for its batch. On the GPU each layer is waited for, so that
    whole passes, which are sums, are longer than those that nobody times. Raises Error unless
    iterations >= 1.
    """
    if iterations < 1:
        raise Error(f"iterations must be at least 1, not {iterations}")
    forward, backward = np.zeros((2, warm_up + iterations, len(net.layers)))
    with one_blas_thread():
        for k in range(warm_up + iterations):
            net.clear_param_diffs()
            for i in range(len(net.layers)):
                forward[k, i] = _milliseconds(net._forward, i)
            for i in reversed(range(len(net.layers))):
                backward[k, i] = _milliseconds(net._backward, i)
    return _summary(net, forward[warm_up:], backward[warm_up:])


def _milliseconds(run, i):
    backend.synchronize()
    start = time.perf_counter()
    run(i, i)
    backend.synchronize()
    return (time.perf_counter() - start) * 1000


def _summary(net, forward, backward):
    """A NetTime from arrays (iterations, layers)."""
    layers = [LayerTime(layer.name, layer.type, _span(forward[:, i]),
                        _span(backward[:, i]) if net._plan.need_backward[i] else None)
              for i, layer in enumerate(net.layers)]
    forward, backward = forward.sum(axis=1), backward.sum(axis=1)
    return NetTime(layers, _span(forward), _span(backward), _span(forward + backward), len(forward))


def _span(times):
    return Span(*(round(float(t), 4) for t in (np.median(times), times.min(), times.mean())))
