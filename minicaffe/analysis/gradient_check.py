"""Check hand-written gradients against central differences, on one layer or on a whole net.

    from minicaffe.analysis.gradient_check import check_net
    net = minicaffe.Net("net.prototxt", minicaffe.TRAIN, dtype=numpy.float64)
    for result in check_net(net):
        print(result.layer, result.blob, result.max_rel_error, result.ok)

An entry's gradient g is compared with (E(x + h) - E(x - h)) / 2h, E the objective and h the step.
The error is relative to max(floor, |g|). Where they clash, E may have a kink within the step
(ReLU, the maximum of pooling): the entry is tried again with h / 100 (central_differences.py).
"""

import numpy as np

from ..backend import to_numpy
from ..errors import Error
from .central_differences import Result, compare, make_settings


# ---- one layer

def check_layer(layer, bottom, top, propagate_down=None, step=None, tolerance=None, samples=None,
                rng=None, ignored_tops=()):
    """Check the gradients of a layer that is set up, by all its parameters and bottoms.

    The objective is sum(top_diff * top) with fixed random top diffs; those of `ignored_tops`
    (indices) are random too, but their tops don't count: backward must not look at them.
    propagate_down  which bottoms to check, by default those whose gradient the layer allows
    step, tolerance    default 1e-5 and 1e-6 in float64 (1e-2 and 5e-2 in float32), floor 1
    samples         entries a blob, chosen at random; None: all
    Bottom diffs hold NaN before backward, which runs twice: parameter diffs must double.
    Data, random state and loss weights are put back. Returns a list of Result, parameters first.
    """
    if propagate_down is None:
        propagate_down = [layer.allow_force_backward(i) for i in range(len(bottom))]
    settings = make_settings(layer.dtype, step, tolerance, 1.0, samples, rng)
    objective = _LayerObjective(layer, bottom, top, ignored_tops, settings.rng)
    once, twice = objective.gradients(propagate_down)
    names, results = list(layer.layer_param.bottom), []
    for i, blob in enumerate(layer.blobs):
        if layer.param_propagate_down[i]:
            result = compare(layer.name, f"weights {i}", blob, once[blob], objective, settings)
            if not np.allclose(twice[blob], 2 * once[blob], rtol=1e-4, atol=1e-9, equal_nan=True):
                result = result._replace(ok=False, note="the diff is overwritten, not added to")
            results.append(result)
    for i, blob in enumerate(bottom):
        if propagate_down[i]:
            name = names[i] if i < len(names) else f"bottom {i}"
            results.append(compare(layer.name, name, blob, once[blob], objective, settings))
    objective()
    objective.restore()
    layer.fill_loss_diffs(top)
    return results


class _LayerObjective:
    """sum(top_diff * top) of a layer as a function of its bottoms and parameters."""

    def __init__(self, layer, bottom, top, ignored_tops, rng):
        self.layer, self.bottom, self.top = layer, bottom, top
        self.random_state = layer.rng.bit_generator.state
        self.saved = [(blob, blob.data.copy()) for blob in [*bottom, *layer.blobs, *layer.carried]]
        layer.reshape(bottom, top)
        self.top_diffs = [layer.xp.asarray(rng.normal(size=t.shape), layer.dtype) for t in top]
        self.counted = [i for i in range(len(top)) if i not in ignored_tops]

    def restore(self):
        """Put back what a forward pass may change: data in place, statistics, states."""
        for blob, data in self.saved:
            blob.data[...] = data
        self.layer.rng.bit_generator.state = self.random_state

    def __call__(self, blob=None, index=None, delta=0.0):
        """The objective, with `delta` added to one entry of one blob."""
        self.restore()
        if blob is not None:
            blob.data[index] += delta
        self.layer.reshape(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)
        return sum(float((self.top[i].data * self.top_diffs[i]).sum(dtype=np.float64))
                   for i in self.counted)

    def gradients(self, propagate_down):
        """{blob: diff} after one backward pass from zero, and after a second without clearing."""
        for blob in self.layer.blobs:
            blob.diff[...] = 0
        return self._backward(propagate_down), self._backward(propagate_down)

    def _backward(self, propagate_down):
        self()
        for blob in self.bottom:
            blob.diff[...] = np.nan
        for blob, diff in zip(self.top, self.top_diffs):      # after the NaNs: memory may be shared
            blob.diff[...] = diff
        self.layer.backward(self.top, propagate_down, self.bottom)
        return {blob: to_numpy(blob.diff).copy() for blob in [*self.bottom, *self.layer.blobs]}


# ---- a whole net

def check_net(net, layer=None, step=None, tolerance=None, samples=50, rng=None,
              report=None):
    """Check the gradients that a net's backward computes, layer by layer, against its loss.

    The objective is the net's total loss or, where it has none, sum(diff * output) with random
    diffs (build such a net with force_backward: true). Data layers stay at one batch and random
    states are reset before each forward. Checked are each layer's learnt parameters and the
    bottoms whose gradient the net computes, as that layer sees them.
    layer     name of the only layer to check; default all
    samples   entries a blob, chosen at random; None: all. The floor of the relative error is the
              blob's largest gradient, or 1e-3: a net's gradients are small
    report    called with each Result as soon as it is found
    Returns a list of Result in the order of layers.
    """
    if layer is not None and layer not in net._layer_names:
        raise Error(f"the net has no layer '{layer}'; its layers are {', '.join(net._layer_names)}")
    settings = make_settings(np.dtype(net.dtype), step, tolerance, 1e-3, samples, rng)
    objective = _NetObjective(net, settings.rng)
    gradients = objective.gradients()
    results = []
    for i, name in enumerate(net._layer_names):
        if layer in (None, name):
            for result in _check_net_layer(objective, i, gradients[i], settings):
                results.append(result)
                if report is not None:
                    report(result)
    objective.restore(0)
    net.forward()
    objective.restore(0)
    if not results:
        where = f"layer '{layer}'" if layer else "the net"
        raise Error(f"{where} has no gradient to check: no parameter or bottom of it is learnt "
                    "from (force_backward: true makes the net compute all)")
    return results


def _check_net_layer(objective, i, gradients, settings):
    net, layer = objective.net, objective.net.layers[i]
    by_parameter, by_bottom = gradients
    for k, analytic in by_parameter.items():
        objective.run_before(objective.first_user(layer.blobs[k]))
        yield compare(layer.name, f"weights {k}", layer.blobs[k], analytic,
                      objective.by_parameter, settings)
    for j, analytic in by_bottom.items():
        name = net._bottom_names[i][j]
        blob = net.blobs[name]
        if objective.has_hidden_readers(i, blob):
            yield Result(layer.name, name, 0, 0.0, 0.0, (), 0.0, 0.0, 0, True,
                         "not compared: other layers read the same memory")
        else:
            objective.run_before(i)
            yield compare(layer.name, name, blob, analytic, objective.by_bottom, settings)


class _NetObjective:
    """The loss of a net (or a random sum of its outputs) by its parameters and inner blobs."""

    def __init__(self, net, rng):
        self.net = net
        self.states = [(layer, layer.rng.bit_generator.state, layer.position)
                       for layer in net.layers]
        fixed = [net.blobs[top] for layer in net.layers if layer.type in ("Input", "DummyData")
                 for top in net.top_names[layer.name]]
        self.saved = [(blob, blob.data.copy())
                      for blob in fixed + [blob for layer in net.layers
                                           for blob in (*layer.blobs, *layer.carried)]]
        net.forward()
        self.output_diffs = {}
        if not any(weight for layer in net.layers for weight in layer.loss_weights):
            self.output_diffs = {name: net.blobs[name].xp.asarray(
                rng.normal(size=net.blobs[name].shape)) for name in net.outputs}

    def restore(self, first):
        """Inputs and parameters as at first; batch and random state too, of layers from `first`."""
        for blob, data in self.saved:
            blob.data[...] = data
        for layer, random_state, position in self.states[first:]:
            layer.rng.bit_generator.state = random_state
            if position is not None:
                layer.position = position

    def gradients(self):
        """For each layer ({k: diff of its parameter k}, {j: diff of its bottom j})."""
        net, plan = self.net, self.net._plan
        self.restore(0)
        net.forward()
        net.clear_param_diffs()
        for name, diff in self.output_diffs.items():
            net.blobs[name].diff[...] = diff
        bottoms = []
        for i in reversed(range(len(net.layers))):
            net.backward(start=net._layer_names[i], end=net._layer_names[i])
            # copied now: in-place layers further down overwrite these diffs
            bottoms.insert(0, {j: to_numpy(net.blobs[name].diff).copy()
                               for j, name in enumerate(net._bottom_names[i])
                               if plan.need_backward[i] and plan.bottom_need_backward[i][j]})
        # copied only now: parameters that several layers share are complete at the end
        parameters = [{k: to_numpy(blob.diff).copy() for k, blob in enumerate(layer.blobs)
                       if needed and layer.param_propagate_down[k]}
                      for layer, needed in zip(net.layers, plan.need_backward)]
        return list(zip(parameters, bottoms))

    def first_user(self, parameter):
        """The first layer one of whose parameters lives in the same memory."""
        return next(i for i, layer in enumerate(self.net.layers)
                    if any(_overlap(blob, parameter) for blob in layer.blobs))

    def has_hidden_readers(self, i, blob):
        """Whether layer i hands on its bottom's memory, which others read through a Split."""
        return self._hands_on(i, blob) and any(
            layer.type == "Split" and _overlap(self.net.blobs[tops[0]], blob)
            for layer, tops in zip(self.net.layers[:i], self.net._top_names))

    def _hands_on(self, i, blob):
        return any(_overlap(self.net.blobs[top], blob) for top in self.net._top_names[i])

    def run_before(self, i):
        """Run the layers before layer i, and keep what they made."""
        self.first = i
        self.restore(0)
        if i:
            self.net.forward(end=self.net._layer_names[i - 1])
        names = {top for tops in self.net._top_names[:i] for top in tops}
        self.kept = [(self.net.blobs[name], self.net.blobs[name].data.copy()) for name in names]

    def _go_back(self):
        self.restore(self.first)
        for blob, data in self.kept:
            blob.data[...] = data

    def by_parameter(self, blob, index, delta):
        """The objective with `delta` added to one entry of a parameter of layer `first`."""
        self._go_back()
        blob.data[index] += delta
        return self._run(self.first)

    def by_bottom(self, blob, index, delta):
        """The objective with `delta` added to one entry of a bottom, as layer `first` sees it."""
        self._go_back()
        blob.data[index] += delta
        if self._hands_on(self.first, blob):
            return self._run(self.first)
        value = blob.data[index] - delta
        name = self.net._layer_names[self.first]
        self.net.forward(start=name, end=name)
        loss = self.net.total_loss
        blob.data[index] = value              # for others that read it
        return loss + self._run(self.first + 1)

    def _run(self, first):
        """Loss of the layers from `first` on, plus the sum over outputs of a net without loss."""
        loss = 0.0
        if first < len(self.net.layers):
            self.net.forward(start=self.net._layer_names[first])
            loss = self.net.total_loss
        return loss + sum(float((self.net.blobs[name].data * diff).sum(dtype=np.float64))
                          for name, diff in self.output_diffs.items())


def _overlap(a, b):
    return a.size > 0 and b.size > 0 and a.xp.may_share_memory(a.data, b.data)
