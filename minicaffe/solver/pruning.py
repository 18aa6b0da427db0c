"""The `pruning` messages of a solver, carried out while it trains."""

import logging
import math
from typing import NamedTuple

from ..backend import to_device
from ..errors import Error
from ..net.pruning import condense, condensed_net, method_for
from ..proto import text

log = logging.getLogger("minicaffe")


class Task(NamedTuple):
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
        self.tasks, self.blocks = [], {}        # blocks: condensed layer -> fields
        for message in solver.param.pruning:
            if not message.layer:
                raise solver.error("pruning: which layer? none is named")
            for name in message.layer:
                self.tasks.append(self._task(message, name))

    def _task(self, message, name):
        error, start, end = self.solver.error, message.start_iter, message.end_iter
        if name in {task.layer for task in self.tasks}:
            raise error(f"pruning of layer '{name}' is given twice")
        if not 0 <= start < end:
            raise error(f"pruning of layer '{name}': it must begin at 0 or later and end after it "
                        f"begins: start_iter is {start}, end_iter {end}")
        if name in self.solver.net.params and (name, 0) not in self.solver.net._learnable.names:
            raise error(f"pruning of layer '{name}': its weights are another layer's, by `param`: "
                        "prune that one")
        if not 0 <= message.alpha < math.inf:
            raise error(f"pruning of layer '{name}': alpha must be a number from 0 on, not "
                        f"{message.alpha:g}")
        try:
            method = method_for(self.solver.net, message, name)
        except Error as problem:
            raise error(str(problem)) from problem
        if 0 < self.solver.param.max_iter < end:
            log.warning("Pruning of layer %s ends after iteration %d: at max_iter %d it will not be "
                        "complete", name, end, self.solver.param.max_iter)
        masks = [(blob, None if blob.mask is None else blob.mask.copy())
                 for blob in self.solver.net.params[name]]
        return Task(name, start, end, method, message.method == message.OFF_DIAGONAL, masks)

    def before_update(self):
        """Add the penalties of this iteration to the gradients; the first one opens masks."""
        for task in self._active():
            task.method.start()
            task.method.penalize(self.solver.param.iter_size)

    def after_update(self):
        """Close masks by this iteration's share, and condense what is done with it."""
        for task in self._active():
            done = self.solver.iter + 1 - task.start_iter
            task.method.prune(done / (task.end_iter - task.start_iter), self._rate(task))
            if self.solver.iter + 1 == task.end_iter:
                log.info("Pruning of layer %s is complete", task.layer)
                if task.condenses:
                    self._rescale(task)
                    self._condense(task)

    def resume(self, iteration):
        """Make the nets ready for weights and masks as they were after that many iterations."""
        for task in self.tasks:
            if task.layer in self.blocks:
                if iteration < task.end_iter:
                    raise self.solver.error(f"layer '{task.layer}' is condensed already: a "
                                            f"snapshot of iteration {iteration} needs a new solver")
                continue
            for blob, mask in task.masks:
                blob.mask = mask
            if task.condenses and task.end_iter <= iteration:
                task.method.start()
                self._condense(task)

    def write_net(self, prefix):
        """Write PREFIX_condensed.prototxt, the net whose weights snapshots hold once condensed."""
        if self.blocks:
            text.write(condensed_net(self.source, self.blocks), f"{prefix}_condensed.prototxt")

    def _active(self):
        return [task for task in self.tasks
                if task.start_iter <= self.solver.iter < task.end_iter]

    def _rate(self, task):
        solver = self.solver
        k = solver.net._learnable.names.index((task.layer, 0))
        return solver.learning_rate(solver.iter) * solver.net.params_lr[k]

    def _rescale(self, task):
        layer = self.solver.net.layer_dict[task.layer]
        task.method.rescale(layer.param.weight_filler.type)

    def _condense(self, task):
        solver, name, method = self.solver, task.layer, task.method
        count = len(solver.net.learnable_params)
        k = solver.net._learnable.names.index((name, 0))
        for net in (solver.net, *solver.test_nets):
            if name in net.params:
                condense(net, method, name)
        for i in range(k, len(solver.history), count):
            solver.history[i] = to_device(method.condense(solver.history[i]).reshape(-1))
        for net in solver.test_nets:
            net.share_with(solver.net)
        self.blocks[name], b = method.blocks, len(method.layout.inputs)
        solver.net.params_lr[k] *= b ** method.param.lr_power
        log.info("Layer %s has become a BlockInnerProduct of %d blocks", name, b)
