"""A net's forward and backward pass as one CUDA graph: captured once, then replayed."""

import operator

from ..backend import device_errors, explain
from ..errors import Error, NetError
from ..primitives.cuda_graph import Recorder

_WARM_UP = 3                 # passes before the capture: arrays made, kernels compiled and loaded


class CapturedPass:
    """run() is net._forward and net._backward over all layers, with next to no work for the host.

    The first passes run as always, the last of them in the place where the capture will be; then
    the pass is captured and replayed. Layers that feed the net from the host run before each
    replay. Where blobs have moved since (other weights shared, a layer replaced) it is captured
    anew; with debug_info a pass runs as always. Raises NetError for a net that can't be captured:
    one with a layer, not at its beginning, that uses the host in a pass, or whose shapes change.
    """

    def __init__(self, net):
        self.net, self.recorder = net, Recorder()
        self.graph, self.passes = None, 0
        self._check()

    def _check(self):
        net = self.net
        self.layers = list(net.layers)
        self.feeders = [i for i, layer in enumerate(net.layers)
                        if layer.needs_host and not net._bottom_names[i]]
        for i, layer in enumerate(net.layers):
            if i not in self.feeders and (layer.needs_host or layer.reshape_always):
                raise NetError(f"{layer.error('uses the host in each pass')}: such a net can't be "
                               "captured as a CUDA graph, train it without --cuda-graph")
        self.others = [i for i in range(len(net.layers)) if i not in self.feeders]

    def run(self):
        """One pass; returns the loss, an array of one number."""
        net, self.passes = self.net, self.passes + 1
        if net.debug_info or self.passes < _WARM_UP:
            net._forward(0, len(net.layers) - 1)
            net._backward(len(net.layers) - 1, 0)
            return net._loss.value
        if not all(map(operator.is_, net.layers, self.layers)):
            self._check()
            self.graph = None
        net._forward_layers(self.feeders)
        if self.graph is None or not self._in_place():
            self._record()
        else:
            self.graph.launch()
        return net._loss.value

    def _record(self):
        """Do the pass once, in the recorder's place, and capture it for the next one."""
        again = self.graph is not None and self._shapes() != self.shapes
        if again:
            raise NetError("the shapes of blobs have changed during training: such a net can't be "
                           "replayed as a CUDA graph, train it without --cuda-graph")
        self.recorder.run(self._pass)
        try:
            self.graph = self.recorder.capture(self._pass)
        except (Error, RuntimeError, *device_errors()) as problem:    # CuPy refuses by RuntimeError
            text = problem if isinstance(problem, Error) else explain(problem)
            raise NetError(f"the net can't be captured as a CUDA graph: {text}; train without "
                           "--cuda-graph") from problem
        self.shapes, self.places = self._shapes(), self._places()

    def _pass(self):
        net = self.net
        net._loss.begin()
        net._forward_layers(self.others)
        net._loss.end()
        net._backward(len(self.layers) - 1, 0)

    def _shapes(self):
        return [blob.shape for blob in self.net.blobs.values()]

    def _places(self):
        """The arrays that the graph reads and writes, as far as others may exchange them."""
        params = self.net.learnable_params
        return [*(blob.data for blob in self.net.blobs.values()), *(blob.data for blob in params),
                *(blob.diff for blob in params)]

    def _in_place(self):
        return all(map(operator.is_, self._places(), self.places))
