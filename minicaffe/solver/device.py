"""A solver's update on the GPU: one launch for all parameters of the net."""

from ..primitives.update import DeviceUpdate, ParameterTable


class DeviceSolver:
    """Applies a solver's rule to the parameters of its net, wherever they lie at that moment.

    kernels    of the rule, from update_kernels
    """

    def __init__(self, net, param, kernels):
        self.net, self.param, self.kernels = net, param, kernels
        self.update = None

    def apply(self, history, rate, correction):
        """Turn the diffs into updates and subtract them; returns the DeviceUpdate that did it.

        history    the solver's list, all first histories, then all second ones
        """
        update = self._current(history)
        if self.param.clip_gradients >= 0:
            update.clip(self.param.clip_gradients)
        update.set_rate(rate, correction)
        update(self.param)
        return update

    def _current(self, history):
        """The DeviceUpdate; made anew where parameters, masks or multipliers are others now."""
        net, decay = self.net, self.param.weight_decay
        count = len(net.learnable_params)
        rows = [(blob.data, blob.diff, blob.mask, *history[i::count])
                for i, blob in enumerate(net.learnable_params)]
        multipliers = [(lr, decay * mult) for lr, mult in zip(net.params_lr, net.params_weight_decay)]
        if self.update is None or self.update.given != multipliers \
                or not self.update.table.is_of(rows):
            self.update = DeviceUpdate(net.xp, self.kernels, ParameterTable(net.xp, net.dtype, rows),
                                       multipliers)
        return self.update
