"""Log lines in Caffe's (glog's) format, a progress bar on terminals, and a JSON lines file."""

import contextlib
import json
import logging
import os
import sys
import time

import numpy as np
from tqdm import tqdm

from ..errors import FileError
from ..files import reason

log = logging.getLogger("minicaffe")


class GlogFormatter(logging.Formatter):
    """`I1121 09:43:00.123456  4711 base.py:239] message`: what tools that parse Caffe logs expect."""

    def format(self, record):
        clock = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micro = int(record.created % 1 * 1e6)
        letter = {logging.WARNING: "W", logging.ERROR: "E"}.get(record.levelno, "I")
        return (f"{letter}{clock}.{micro:06d} {os.getpid():5d} {record.filename}:{record.lineno}] "
                f"{record.getMessage()}")


class _StderrHandler(logging.StreamHandler):
    """Writes to today's sys.stderr, above a progress bar if there is one."""

    def __init__(self):
        super().__init__(sys.stderr)
        self.setFormatter(GlogFormatter())

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)
        sys.stderr.flush()


def log_to_stderr():
    """Show the package's log lines on stderr from now on (once, however often it is called)."""
    if not any(isinstance(handler, _StderrHandler) for handler in log.handlers):
        log.addHandler(_StderrHandler())
    log.setLevel(logging.INFO)


class Progress:
    """A progress bar over the solver's iterations, with the time left, if stderr is a terminal."""

    def __init__(self, solver):
        self.solver = solver
        self.bar = tqdm(total=solver.param.max_iter, initial=solver.iter, unit="it", leave=False,
                        dynamic_ncols=True, file=sys.stderr, disable=None)
        self._next = 0.0             # when the loss may be asked for: a GPU is waited for

    def __call__(self):
        self.bar.update(self.solver.iter - self.bar.n)
        if not self.bar.disable and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.5
            self.bar.set_postfix_str(f"loss {self.solver.smoothed_loss:.4g}", refresh=False)

    def close(self):
        self.bar.close()


class JsonLines:
    """A reporter for solver.reporters: one JSON object a line for each display and each test.

    {"iteration": 100, "time": seconds since the start, "lr": .., "loss": .., "outputs": {..}} or
    {"iteration": 500, "time": .., "test_net": 0, "outputs": {..}}. A file that exists is
    begun anew unless `go_on`, for a resumed run. Raises FileError where it can't be written.
    """

    def __init__(self, path, go_on=False):
        self.start, self.path = time.time(), path
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            self.file = open(path, "a" if go_on else "w", buffering=1)
        except OSError as error:
            raise self._error(error) from error

    def __call__(self, event):
        event = {"time": round(time.time() - self.start, 3), **event}
        try:
            self.file.write(json.dumps(event, default=lambda a: np.asarray(a).tolist()) + "\n")
        except OSError as error:
            raise self._error(error) from error

    def close(self):
        with contextlib.suppress(OSError):      # a line that could not be written is known already
            self.file.close()

    def _error(self, error):
        return FileError(f"{self.path}: can't be written: {reason(error)}")
