"""The `pruning` messages of a solver, carried out while it trains."""

import logging
from typing import NamedTuple

from ..backend import to_device, to_numpy
from ..errors import Error
from ..net.pruning import condense, condensed_net, method_for
from ..proto import text

log = logging.getLogger("minicaffe")


class Phase(NamedTuple):
    """What one layer goes through: dense before start_iter, pruned until end_iter."""

    layer: str
    start_iter: int
    end_iter: int
    method: object
    condenses: bool
    masks: list          # (blob, its mask before any pruning, a copy or None)


class Pruning:
    """Applies a method to each layer that a solver's `pruning` names, in its iterations.

    In the iterations start_iter .. end_iter-1 a method adds its penalty's gradient before the
    update and closes the mask after it. After the last of them OFF_DIAGONAL puts a
    BlockInnerProduct in the layer's place, in the training net and in all test nets, and drops
    the history of what is gone. Raises SolverError where the messages don't fit the net.
    """

    def __init__(self, solver, source):
        """source: the NetParameter that the training net comes from."""
        self.solver, self.source = solver, source
        self.phases, self.blocks = [], {}        # blocks: condensed layer -> its number
        for message in solver.param.pruning:
            for name in message.layer:
                self.phases.append(self._phase(message, name))

    def _phase(self, message, name):
        error, start, end = self.solver.error, message.start_iter, message.end_iter
        if name in {phase.layer for phase in self.phases}:
            raise error(f"pruning of layer '{name}' is given twice")
        if not 0 <= start < end:
            raise error(f"pruning of layer '{name}': it must begin at 0 or later and end after it "
                        f"begins: start_iter is {start}, end_iter {end}")
        if name in self.solver.net.params and (name, 0) not in self.solver.net._learnable.names:
            raise error(f"pruning of layer '{name}': its weights are another layer's, by `param`: "
                        "prune that one")
        if message.alpha < 0:
            raise error(f"pruning of layer '{name}': alpha {message.alpha:g} is negative")
        try:
            method = method_for(self.solver.net, message, name)
        except Error as problem:
            raise error(str(problem)) from problem
        masks = [(blob, None if blob.mask is None else blob.mask.copy())
                 for blob in self.solver.net.params[name]]
        return Phase(name, start, end, method, message.method == message.OFF_DIAGONAL, masks)

    def before_update(self):
        """Add the penalties of this iteration to the gradients; the first one opens masks."""
        for phase in self._active():
            phase.method.start()
            phase.method.penalize()

    def after_update(self):
        """Close masks by this iteration's share, and condense what is done with it."""
        for phase in self._active():
            done = self.solver.iter + 1 - phase.start_iter
            phase.method.prune(done / (phase.end_iter - phase.start_iter), self._rate(phase))
            if self.solver.iter + 1 == phase.end_iter:
                log.info("Pruning of layer %s is complete", phase.layer)
                if phase.condenses:
                    self._rescale(phase)
                    self._condense(phase)

    def resume(self, iteration):
        """Make the nets ready for weights and masks as they were after that many iterations."""
        for phase in self.phases:
            if phase.layer in self.blocks:
                if iteration < phase.end_iter:
                    raise self.solver.error(f"layer '{phase.layer}' is condensed already: a "
                                            f"snapshot of iteration {iteration} needs a new solver")
                continue
            for blob, mask in phase.masks:
                blob.mask = mask
            if phase.condenses and phase.end_iter <= iteration:
                phase.method.start()
                self._condense(phase)

    def write_net(self, prefix):
        """Write PREFIX_condensed.prototxt, the net whose weights snapshots hold once condensed."""
        if self.blocks:
            text.write(condensed_net(self.source, self.blocks), f"{prefix}_condensed.prototxt")

    def _active(self):
        return [p for p in self.phases if p.start_iter <= self.solver.iter < p.end_iter]

    def _rate(self, phase):
        solver = self.solver
        k = solver.net._learnable.names.index((phase.layer, 0))
        return solver.learning_rate(solver.iter) * solver.net.params_lr[k]

    def _rescale(self, phase):
        layer = self.solver.net.layer_dict[phase.layer]
        phase.method.rescale(layer.param.weight_filler.type)

    def _condense(self, phase):
        solver, name, method = self.solver, phase.layer, phase.method
        count = len(solver.net.learnable_params)
        k = solver.net._learnable.names.index((name, 0))
        for net in (solver.net, *solver.test_nets):
            if name in net.params:
                condense(net, method, name)
        for i in range(k, len(solver.history), count):
            solver.history[i] = to_device(method.condense(solver.history[i]).reshape(-1))
        for net in solver.test_nets:
            net.share_with(solver.net)
        self.blocks[name] = method.param.num_blocks
        solver.net.params_lr[k] *= self.blocks[name] ** method.param.lr_power
        log.info("Layer %s has become a BlockInnerProduct of %d blocks", name, self.blocks[name])
