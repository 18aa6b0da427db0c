"""A whole training run as the command line wants it: signals, progress, logs, weights."""

import contextlib
import os
import signal

from ..errors import SolverError, WeightsError
from .log import JsonLines, Progress, log, log_to_stderr


def train(solver, weights=(), resume=None, log_file=None):
    """Run `solver` to its max_iter, from weights files or from a .solverstate.

    Ctrl-C ends the run after the iteration with a snapshot, a second one at once; SIGHUP takes a
    snapshot and goes on. Log lines go to stderr, events to `log_file` (JSON lines) if given.
    Returns whether the run reached its end.
    """
    if weights and resume:
        raise SolverError("give --weights to start from them or --snapshot to resume, not both")
    log_to_stderr()
    for path in weights:
        log.info("Finetuning from %s", path)
        if not solver.net.copy_from(path):
            raise WeightsError(f"{path}: holds no weights for any layer of the net")
    if resume:
        solver.restore(resume)
    with contextlib.ExitStack() as stack:
        stack.callback(solver.close)
        if log_file:
            reporter = JsonLines(log_file, go_on=bool(resume))
            stack.callback(reporter.close)
            solver.reporters.append(reporter)
        progress = Progress(solver)
        stack.callback(progress.close)
        requests = stack.enter_context(Requests())

        def after_iteration():
            progress()
            return requests.take()

        solver.action = after_iteration
        solver.solve()
        if solver.stopped:
            log.info("To go on: --snapshot %s_iter_%d.solverstate", solver.prefix, solver.iter)
    return not solver.stopped


class Requests:
    """What signals ask of a run: "stop" (SIGINT) or "snapshot" (SIGHUP).

    A second SIGINT raises KeyboardInterrupt wherever the program is.
    """

    def __init__(self):
        self._request = None

    def __enter__(self):
        self._before = {signal.SIGINT: signal.signal(signal.SIGINT, self._on_interrupt)}
        if hasattr(signal, "SIGHUP"):
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self):
        """The request since the last call; "stop" stays."""
        request = self._request
        if request != "stop":
            self._request = None
        return request

    def _on_interrupt(self, number, frame):
        if self._request == "stop":
            raise KeyboardInterrupt
        self._request = "stop"
        # not by a log line: the interrupted code may hold the stream or a lock
        os.write(2, b"\nstopping after this iteration (Ctrl-C again: at once)\n")

    def _on_hangup(self, number, frame):
        if self._request is None:
            self._request = "snapshot"
