"""Solver: the training loop of Caffe (solver.cpp, sgd_solver.cpp) around an update rule."""

import logging
import math
import os
import time

import numpy as np

from .. import backend
from ..backend import to_numpy
from ..errors import DivergedError, SolverError
from ..net.captured_pass import CapturedPass
from ..net.debug_log import log_update
from ..net.evaluation import evaluate
from ..net.seed import default_seed
from ..proto import caffe_pb2, text, upgrade
from ..registry import Registry
from . import host, nets, snapshot
from .device import DeviceSolver
from .losses import Losses
from .lr_policy import LearningRate
from .pruning import Pruning
from .report import log_outputs

log = logging.getLogger("minicaffe")
_registry = Registry("solver type")
register_solver = _registry.register       # class decorator: @register_solver("SGD")


def solver_type_list():
    """The names of all solver types, sorted."""
    return sorted(_registry)


def solver_class(name, where=""):
    """The class of a solver type; an unknown name raises SolverError with close ones."""
    return _registry.find(name, SolverError, where)


def get_solver(source, param=None, **options):
    """The solver a .prototxt file (or SolverParameter) describes, of the class its type names.

    `param`: the file's contents where the caller has read (and perhaps changed) them already.
    """
    where, param = "", param or source
    if not isinstance(source, caffe_pb2.SolverParameter):
        where = f"{source}: "
        param = text.read_solver(source) if param is source else param
    param = upgrade.upgrade_solver(param, where or "solver: ")
    return solver_class(param.type, where)(source, param=param, **options)


class Solver:
    """Trains the parameters of `net`; a subclass gives the update rule.

    source    path of a solver .prototxt, or a SolverParameter
    dtype     numpy.float32 or numpy.float64
    cuda_graph    on the GPU, capture the forward and backward pass once and replay it
    Attributes as in pycaffe: net, test_nets, iter, param; history (list of flat arrays, in Caffe's
    order: all first histories, then all second ones); callbacks.

    An iteration, in Caffe's order: sum gradients over iter_size passes, clip by their global norm,
    divide by iter_size, add weight decay, apply the rule with rate * lr_mult, subtract. With
    decoupled_weight_decay (not Caffe's; Adam only: AdamW) the decay acts on the weights instead:
    the update is the rule's plus rate * lr_mult * weight_decay * decay_mult * w.
    Raises ParseError, SolverError and all that building a net raises.

    On the GPU the loss is fetched only where it is displayed, before tests and snapshots, and where
    `step` ends: a loss that isn't finite (DivergedError), or a label out of range, is told there.
    """

    type = None
    histories = 1                 # arrays of history a parameter
    kernels = None                # the rule for the GPU, see primitives/update.py
    refuses_momentum = False
    may_decouple_decay = False    # whether decoupled_weight_decay is this type's

    def __init__(self, source, param=None, dtype=np.float32, cuda_graph=False):
        self.where, self.folder = "", "."
        if not isinstance(source, caffe_pb2.SolverParameter):
            self.where, self.folder = f"{source}: ", os.path.dirname(source) or "."
            param = param or text.read_solver(source)
        self.param = upgrade.upgrade_solver(param or source, self.where or "solver: ")
        self.dtype = np.dtype(dtype)
        self.check()
        self.iter = 0
        self.seed = self.param.random_seed if self.param.random_seed >= 0 else default_seed()
        self.learning_rate = LearningRate(self.param, self.where)
        self.prefix = snapshot.prefix(self.param, source, self.where)
        options = {"dtype": dtype, "seed": self.seed}
        files = nets.Files(self.folder)
        self.net = nets.train_net(self.param, files, self.where, **options)
        self.test_nets = nets.test_nets(self.param, files, self.where, **options)
        self.xp = self.net.xp
        self.history = [self.xp.zeros(blob.size, self.dtype) for _ in range(self.histories)
                        for blob in self.net.learnable_params]
        self._on_device = self._captured = None
        if self.xp is not np:
            self._on_device = DeviceSolver(self.net, self.param, self.kernels)
        if cuda_graph:
            self._captured = self._capture()
        self._forget_losses()
        self.callbacks = []           # pairs (on_start, on_gradients_ready), each may be None
        self.reporters = []           # called with a dict at each display and test
        self.action = lambda: None    # asked after each iteration: None, "stop" or "snapshot"
        self.stopped = self._snapshot_wanted = False
        self._last_snapshot = None    # its iteration
        self.pruning = Pruning(self, nets.train_source(self.param, files, self.where)[0],
                               nets.own_test_sources(self.param, files))
        for paths in self.param.weights:
            for path in paths.split(","):
                self.net.copy_from(nets.find(path.strip(), self.folder))
        for net in self.test_nets:
            net.share_with(self.net)
            net.debug_info = self.param.debug_info

    def error(self, message):
        """A SolverError that begins with the solver's file."""
        return SolverError(f"{self.where}{message}")

    def check(self):
        """Refuse parameters that make no sense together."""
        p = self.param
        if p.regularization_type not in ("L1", "L2"):
            raise self.error(f"unknown regularization_type '{p.regularization_type}': "
                             "it must be L1 or L2")
        for field, least in ("iter_size", 1), ("average_loss", 1), ("max_iter", 0), \
                ("display", 0), ("snapshot", 0), ("momentum", 0), ("weight_decay", 0):
            if getattr(p, field) < least:
                raise self.error(f"{field} must be at least {least}, not {getattr(p, field):g}")
        if p.decoupled_weight_decay and not (self.may_decouple_decay
                                             and p.regularization_type == "L2"):
            raise self.error("decoupled_weight_decay is for type Adam with regularization_type L2, "
                             f"not {self.type} with {p.regularization_type}")
        if self.refuses_momentum and p.momentum:
            raise self.error(f"momentum can't be used with {self.type}, as in Caffe")
        if p.solver_mode == p.GPU and p.HasField("solver_mode"):
            backend.set_device(p.device_id)
        if backend.mode() == "gpu" and self.kernels is None:
            raise self.error(f"solver type '{self.type}' has no rule for the GPU")
        self.momentum, self.delta = p.momentum, p.delta

    # ---- pycaffe's calls

    def solve(self, resume_file=None):
        """Train up to max_iter; from a .solverstate, if given. Ends with a snapshot and a test."""
        log.info("Solving %s", self.net.name)
        log.info("Learning Rate Policy: %s", self.param.lr_policy)
        if resume_file:
            self.restore(resume_file)
        p = self.param
        self.step(p.max_iter - self.iter)
        if (p.snapshot_after_train or self.stopped) and self._last_snapshot != self.iter:
            self.snapshot()
        if self.stopped:
            log.info("Optimization stopped early.")
            return
        if p.display and self.iter % p.display == 0:
            self._losses.add(self.net._forward(0, len(self.net.layers) - 1), 0, 1)
            loss = self.smoothed_loss
            log.info("Iteration %d, loss = %g", self.iter, loss)
            self._report({"iteration": self.iter, "loss": loss, "final": True})
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        log.info("Optimization Done.")

    def step(self, iterations):
        """Run that many iterations, with their displays, tests and snapshots."""
        p, stop = self.param, self.iter + iterations
        self._forget_losses()
        self.stopped = False
        self._displayed = (self.iter, time.monotonic())
        while self.iter < stop:
            self.pruning.before_iteration()
            if p.test_interval and self.iter % p.test_interval == 0 \
                    and (self.iter > 0 or p.test_initialization):
                self.test_all()
                if self.stopped:
                    return
            self._forward_backward()
            if p.display and self.iter % p.display == 0:
                self._display()
            for _, on_gradients_ready in self.callbacks:
                if on_gradients_ready:
                    on_gradients_ready()
            self.apply_update()
            self.iter += 1
            self._poll()
            if self._snapshot_wanted or (p.snapshot and self.iter % p.snapshot == 0):
                self.snapshot()
                self._snapshot_wanted = False
            if self.stopped:
                break
        self._check_losses()

    def _poll(self):
        """Ask for requests from outside; returns whether to stop."""
        request = self.action()
        self.stopped |= request == "stop"
        self._snapshot_wanted |= request == "snapshot"
        return self.stopped

    def add_callback(self, on_start=None, on_gradients_ready=None):
        """Have functions called before each forward pass, and between backward and update."""
        self.callbacks.append((on_start, on_gradients_ready))

    def share_weights(self, net):
        """Let another net use the memory of this solver's weights (pycaffe's)."""
        net.share_with(self.net)

    def snapshot(self):
        """Write PREFIX_iter_N.caffemodel and .solverstate; returns the latter's path."""
        self._check_losses()
        self._last_snapshot = self.iter
        return snapshot.write(self)

    def restore(self, path):
        """Continue from a .solverstate: iteration, weights, histories, random states, positions."""
        snapshot.restore(self, path)

    def close(self):
        """Stop the nets' threads and close their files."""
        for net in (self.net, *self.test_nets):
            net.close()

    # ---- one iteration

    def _forward_backward(self):
        net, p = self.net, self.param
        net.clear_param_diffs()
        for on_start, _ in self.callbacks:
            if on_start:
                on_start()
        net.debug_info = bool(p.debug_info and p.display and self.iter % p.display == 0)
        for part in range(p.iter_size):
            loss = self._captured.run() if self._captured else self._pass()
            self._losses.add(loss, part, p.iter_size)

    def _pass(self):
        """Forward and backward; returns the loss, which must be finite on the CPU."""
        net, last = self.net, len(self.net.layers) - 1
        loss = net._forward(0, last)
        if net.xp is np and not math.isfinite(loss):
            raise self._not_finite(loss)
        net._backward(last, 0)
        return loss

    def _capture(self):
        if self.xp is np:
            raise self.error("a CUDA graph needs the GPU: solver_mode: GPU or --gpu N")
        return CapturedPass(self.net)

    def _forget_losses(self):
        self._losses = Losses(self.xp, self.param.average_loss, self.param.iter_size)
        self._losses_from = self._unseen = self.iter   # whose losses they are, and not yet fetched

    @property
    def smoothed_loss(self):
        """The mean of the last average_loss losses; on the GPU this waits for them."""
        loss = self._losses.mean()
        if self._losses.count and self.xp is not np:
            self.net.check_device()
            if not math.isfinite(loss):
                raise self._not_finite(loss)
            self._unseen = self._losses_from + self._losses.count
        return loss

    def _check_losses(self):
        """Raise, on the GPU, what the CPU would have raised in a pass since the last fetch."""
        if self.xp is not np:
            self.smoothed_loss

    def _not_finite(self, loss):
        found = self.net.first_not_finite()
        place = f"the first layer whose output isn't finite is '{found[0]}' (blob '{found[1]}')" \
            if found else "every layer's output is finite, only their sum is not"
        when = f"iteration {self.iter}"
        if self.xp is not np:
            last = self._losses_from + self._losses.count - 1
            when = f"iteration {last}" if self._unseen >= last else \
                f"iterations {self._unseen} to {last}"
        return DivergedError(f"{self.where}{when}: the loss is {loss}: {place}; a smaller base_lr "
                             "or clip_gradients may help")

    def apply_update(self):
        """Turn the gradients in the parameters' diffs into updates and subtract them."""
        rate, p, net = self.learning_rate(self.iter), self.param, self.net
        if p.display and self.iter % p.display == 0:
            log.info("Iteration %d, lr = %g", self.iter, rate)
        self.pruning.before_update()
        if self._on_device:
            self._update_on_gpu(rate)
        else:
            host.update(self, rate)
        self.pruning.after_update()
        if net.debug_info:
            log_update(net)

    def correction(self):
        """A factor on the rate of all parameters (Adam has one)."""
        return 1.0

    def _update_on_gpu(self, rate):
        try:
            update = self._on_device.apply(self.history, rate, self.correction())
        except backend.device_errors() as problem:
            raise self.error(f"the update of the weights: {backend.explain(problem)}") from problem
        p = self.param
        if p.clip_gradients >= 0 and p.display and self.iter % p.display == 0:
            norm, scale = update.norm_and_factor()
            if scale != 1:
                host.log_clipping(norm, p.clip_gradients, scale)

    def rule(self, g, w, *histories_scratch_rate):
        """Turn the gradient g into the update, in place, and keep the histories (all arrays flat)."""
        raise self.error("the solver class has no update rule")

    # ---- tests and reports

    def test_all(self):
        """Run every test net for its test_iter batches and log the means of its outputs."""
        for i in range(len(self.test_nets)):
            self.test(i)
            if self.stopped:
                break

    def test(self, index=0):
        """Mean outputs of a test net over its test_iter batches: {blob name: array or float}.

        Empty if a request to stop came before the end.
        """
        self._check_losses()
        log.info("Iteration %d, Testing net (#%d)", self.iter, index)
        self.stopped = False                # it may tell of an earlier run
        net, count = self.test_nets[index], self.param.test_iter[index]
        positions = [(layer, layer.position) for layer in net.layers if layer.position is not None]
        score = evaluate(net, count, lambda number, outputs: self._poll())
        if score is None:
            log.info("Test interrupted.")
            for layer, position in positions:            # a resumed run tests anew
                layer.position = position
            return {}
        if self.param.test_compute_loss:
            log.info("Test loss: %g", score.loss)
        log_outputs("Test", net, score.outputs)
        self._report({"iteration": self.iter, "test_net": index, "outputs": score.outputs})
        return score.outputs

    def _display(self):
        p, (last_iter, last_time) = self.param, self._displayed
        loss = self.smoothed_loss
        now = time.monotonic()
        lapse = now - last_time
        log.info("Iteration %d (%g iter/s, %gs/%d iters), loss = %g", self.iter,
                 (self.iter - last_iter) / (lapse or 1), lapse, p.display, loss)
        self._displayed = (self.iter, now)
        outputs = {name: to_numpy(self.net.blobs[name].data) for name in self.net.outputs}
        log_outputs("Train", self.net, outputs)
        self._report({"iteration": self.iter, "loss": loss, "outputs": outputs,
                      "lr": self.learning_rate(self.iter)})

    def _report(self, event):
        for reporter in self.reporters:
            reporter(event)
