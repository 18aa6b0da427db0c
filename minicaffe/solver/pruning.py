"""The `pruning` messages of a solver, carried out while it trains."""

import functools
import logging
import math
from typing import NamedTuple

import numpy as np

from ..backend import to_device
from ..errors import Error
from ..fillers.base import variance
from ..net.pruning import condense, condensed_net, methods_for
from ..proto import text, weights

log = logging.getLogger("minicaffe")


class Task(NamedTuple):
    """What layers go through: dense before start_iter, pruned until end_iter; at once if equal."""

    layers: tuple        # names; several where they are pruned together
    start_iter: int
    end_iter: int
    method: object
    condenses: bool      # then there is one layer
    masks: list          # (blob, its mask before any pruning, a copy or None)

    def __str__(self):
        if len(self.layers) == 1:
            return f"layer {self.layers[0]}"
        return f"{len(self.layers)} layers, {self.layers[0]} to {self.layers[-1]}"


class Pruning:
    """Applies a method to the layers that a solver's `pruning` names, in its iterations.

    In the iterations start_iter .. end_iter-1 a method adds its penalty's gradient before the
    update and closes the mask after it. Where end_iter is start_iter, or isn't given, all goes at
    once before that iteration, and before a test there. Then OFF_DIAGONAL puts a
    BlockInnerProduct in the layer's place, in the training net and in all test nets, and drops
    the history of what is gone. Raises SolverError where the messages don't fit the net.
    """

    def __init__(self, solver, source, test_sources=()):
        """The NetParameters of the training net, and of test nets with files of their own."""
        self.solver, self.source, self.test_sources = solver, source, test_sources
        self.tasks = []
        self.blocks, self.lr_mults = {}, {}     # condensed layer -> fields, changed lr_mult
        for message in solver.param.pruning:
            self._add_tasks(message)

    def _add_tasks(self, message):
        start = message.start_iter
        end = message.end_iter if message.HasField("end_iter") else start
        self._check(message, start, end)
        try:
            methods = methods_for(self.solver.net, message)
        except Error as problem:
            raise self.solver.error(str(problem)) from problem
        known = {name for task in self.tasks for name in task.layers}
        for names, method in methods:
            for name in names:
                if name in known:
                    raise self.solver.error(f"pruning of layer '{name}' is given twice")
            masks = [(blob, None if blob.mask is None else blob.mask.copy())
                     for name in names for blob in self.solver.net.params[name]]
            task = Task(names, start, end, method, message.method == message.OFF_DIAGONAL, masks)
            self.tasks.append(task)
            if 0 < self.solver.param.max_iter < end + (start == end):
                log.warning("Pruning of %s ends after iteration %d: at max_iter %d it will not be "
                            "complete", task, end, self.solver.param.max_iter)

    def _check(self, message, start, end):
        who = f"pruning of layer '{message.layer[0]}'" if len(message.layer) == 1 else "pruning"
        if not 0 <= start <= end:
            raise self.solver.error(f"{who}: it must begin at 0 or later and not end before: "
                                    f"start_iter is {start}, end_iter {end}")
        if not 0 <= message.alpha < math.inf:
            raise self.solver.error(f"{who}: alpha must be a number from 0 on, not "
                                    f"{message.alpha:g}")
        for field in "weight_power", "lr_power":
            if not math.isfinite(getattr(message, field)):
                raise self.solver.error(f"{who}: {field} must be a finite number, not "
                                        f"{getattr(message, field):g}")
        if message.alpha and start == end:
            raise self.solver.error(f"{who}: alpha {message.alpha:g} needs iterations to act in, "
                                    f"end_iter above start_iter {start}")

    # ---- what the solver calls

    def before_iteration(self):
        """Do what is to be done at once; again, if already done, it changes nothing."""
        for task in self.tasks:
            if task.start_iter == task.end_iter == self.solver.iter \
                    and task.layers[0] not in self.blocks:
                task.method.start(self.solver.seed)
                task.method.prune(1.0, 0.0)
                self._complete(task)

    def before_update(self):
        """Add the penalties of this iteration to the gradients; the first one opens masks."""
        for task in self._active():
            task.method.start(self.solver.seed)
            task.method.penalize(self.solver.param.iter_size)

    def after_update(self):
        """Close masks by this iteration's share, and condense what is done with it."""
        for task in self._active():
            done = self.solver.iter + 1 - task.start_iter
            task.method.prune(done / (task.end_iter - task.start_iter), self._rate(task))
            if self.solver.iter + 1 == task.end_iter:
                self._complete(task)

    def resume(self, state):
        """Make the nets ready for weights and masks as a SolverState says they were."""
        for task in self.tasks:
            condensed = task.condenses and self._was_condensed(task, state)
            if task.layers[0] in self.blocks:
                if not condensed:
                    raise self.solver.error(
                        f"layer '{task.layers[0]}' is condensed already: a snapshot of iteration "
                        f"{state.iter} needs a new solver")
                continue
            for blob, mask in task.masks:
                blob.mask = mask
            if condensed:
                task.method.start()
                self._condense(task)

    def write_net(self, prefix):
        """Write PREFIX_condensed.prototxt, the net whose weights snapshots hold once condensed.

        Test nets that are none of its phases go to PREFIX_condensed_test.prototxt, further ones to
        ..._test_2.prototxt and so on.
        """
        if not self.blocks:
            return
        for i, source in enumerate((self.source, *self.test_sources)):
            which = "" if i == 0 else "_test" if i == 1 else f"_test_{i}"
            net = condensed_net(source, self.blocks, self.lr_mults)
            text.write(net, f"{prefix}_condensed{which}.prototxt")

    # ---- how

    def _active(self):
        return [task for task in self.tasks
                if task.start_iter <= self.solver.iter < task.end_iter]

    def _index(self, task):
        """The place of the (first) layer's weights among the learnable parameters."""
        return self.solver.net._learnable.names.index((task.layers[0], 0))

    def _rate(self, task):
        solver = self.solver
        return solver.learning_rate(solver.iter) * solver.net.params_lr[self._index(task)]

    def _was_condensed(self, task, state):
        """Whether the layer was when the snapshot was taken.

        What is condensed at once before an iteration is not in the snapshot of that iteration,
        unless that was taken in the test before it.
        """
        k = self._index(task)
        if task.start_iter == task.end_iter == state.iter and k < len(state.history):
            return weights.blob_shape(state.history[k]) != task.method.weights.shape
        return task.end_iter <= state.iter

    def _complete(self, task):
        log.info("Pruning of %s is complete", task)
        if task.condenses:
            layer = self.solver.net.layer_dict[task.layers[0]]
            task.method.rescale(functools.partial(variance, layer.param.weight_filler))
            self._condense(task)

    def _condense(self, task):
        solver, name, method = self.solver, task.layers[0], task.method
        count, k = len(solver.net.learnable_params), self._index(task)
        for net in (solver.net, *solver.test_nets):
            if name in net.params:
                condense(net, method, name)
        for i in range(k, len(solver.history), count):
            solver.history[i] = to_device(method.condense(solver.history[i]).reshape(-1))
        for net in solver.test_nets:
            net.share_with(solver.net)
        self.blocks[name], b = method.blocks, len(method.layout.inputs)
        if method.param.lr_power:
            # as a prototxt file holds it, so that the condensed net's learns with the same bits
            rate = float(np.float32(solver.net.params_lr[k] * b ** method.param.lr_power))
            solver.net.params_lr[k] = self.lr_mults[name] = rate
        log.info("Layer %s has become a BlockInnerProduct of %d blocks", name, b)
