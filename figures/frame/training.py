"""Training the runs that figures need: once, side by side, going on after an interruption."""

import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import os
import re
import signal
import threading
import time
import zipfile
import zlib

import numpy as np

from minicaffe.errors import DivergedError, Error
from minicaffe.files import atomic_write
from minicaffe.net.head import on_training_data
from minicaffe.solver import get_solver

from .recording import Recording

SNAPSHOT = 1000              # iterations between two snapshots
_THREADS = {"MINICAFFE_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1"}


def load(run):
    """The arrays of a finished run by name (see Recording), or None.

    Raises Error if they are damaged, DivergedError if the run diverged and may not.
    """
    path = run.folder / "result.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise Error(f"{path}: is damaged; without it '{run.name}' is trained anew") from problem
    if "diverged" in found and not run.may_diverge:
        raise DivergedError(f"{path}: the loss of '{run.name}' was not finite at iteration "
                            f"{found['diverged']}")
    return found


def obtain(runs, jobs=1, say=print):
    """Train whatever of `runs` isn't in the cache.

    With several jobs each run has a process and one thread of its own; an error in one, or Ctrl-C,
    ends all of them. Interrupted, even by kill -9, the same call goes on from the last snapshots
    and ends in the same bits.
    """
    wanted = {run.key: run for given in runs for run in lineage(given)}
    missing = [run for run in wanted.values() if load(run) is None]
    if not missing:
        return
    say(f"{len(missing)} training runs to do, {jobs} at a time; logs in {missing[0].folder.parent}")
    if jobs == 1:
        for run in missing:
            say(f"{run.name}: {train(run) / 60:.1f} minutes")
        return
    os.environ.update(_THREADS)                  # for the processes that start now
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _end_with_parent) as pool:
        waiting = {pool.submit(train, run): run for run in missing}
        try:
            for done in concurrent.futures.as_completed(waiting):
                say(f"{waiting[done].name}: {done.result() / 60:.1f} minutes")
        except BaseException:             # the pool would go through all that waits before it ends
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def lineage(run):
    """The run after those it begins from, the first one first."""
    return [*(lineage(run.begin) if run.begin else ()), run]


def _end_with_parent():
    """Let this process of a pool leave Ctrl-C to its parent, and not outlive it."""
    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def train(run):
    """Train one run, from its last snapshot if there is one; returns the seconds it took in all.

    A second process that asks for the same run waits for the first. The run it begins from is
    trained first if it has to be.
    """
    if run.begin:
        train(run.begin)
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (finished := load(run)) is not None:
            return float(finished["seconds"])
        with open(run.folder / "log.txt", "a") as log:
            def say(line):
                print(time.strftime("%H:%M:%S"), line, file=log, flush=True)
            return _train(run, say)


def _train(run, log):
    solver = get_solver(_param(run))
    with contextlib.closing(solver):
        if (weights := run.first_weights()) is not None:
            solver.net.copy_from(weights)
        rows, seconds = _resume(run, solver)
        log(f"{run.name}: from iteration {solver.iter}")
        recording, start = Recording(run, solver, rows), time.monotonic() - seconds
        try:
            _iterate(run, solver, recording, start, log)
            recording.finish()
            if run.keep_weights:
                solver.net.save(str(run.final_weights))
        except DivergedError as problem:
            if not run.may_diverge:
                raise
            recording.diverged()
            log(problem)
        seconds = time.monotonic() - start
        _save(run.folder / "result.npz", {**recording.as_dict(), "seconds": seconds})
        log(f"done in {seconds / 60:.1f} minutes")
    _forget_snapshots(run, before=np.inf)
    return seconds


def _iterate(run, solver, recording, start, log):
    """All iterations, with the records, tests and snapshots that come between them."""
    while True:
        solver.pruning.before_iteration()          # what goes at once, before it is measured
        if solver.iter % run.record == 0 or solver.iter == run.iterations:
            recording.measure()
        if solver.iter % run.test == 0 or solver.iter == run.iterations:
            seconds = time.monotonic() - start
            log(f"iteration {solver.iter}, {seconds:.0f} s: {recording.test()}")
            if run.keep_best and recording.is_best():
                solver.net.save(str(run.best_weights))
        if solver.iter == run.iterations:
            return
        due = min(n - solver.iter % n for n in (run.record, run.test, SNAPSHOT))
        solver.step(min(due, run.iterations - solver.iter))
        if solver.iter % SNAPSHOT == 0 and solver.iter < run.iterations:
            _snapshot(run, solver, recording, time.monotonic() - start)


def _param(run):
    """The SolverParameter with its nets in it; snapshots and tests are taken by hand."""
    param, net = run.solver_param(), run.trained_net()
    param.train_net_param.CopyFrom(net)
    param.test_net_param.add().CopyFrom(net)
    param.test_iter.append(run.test_batches)
    if run.train_batches or run.final_train_batches:
        param.test_net_param.add().CopyFrom(on_training_data(net))
        param.test_iter.append(run.train_batches)
    param.test_interval, param.test_initialization = run.iterations + 1, False
    param.random_seed, param.snapshot_after_train = run.seed, False
    param.snapshot_prefix = str(run.folder / "state")
    return param


def _snapshot(run, solver, recording, seconds):
    """Write the arrays recorded so far, then the state: alone it would not be gone on from."""
    _save(run.folder / f"state_iter_{solver.iter}.npz", {**recording.as_dict(), "seconds": seconds})
    solver.snapshot()
    _forget_snapshots(run, before=solver.iter)


def _resume(run, solver):
    """Restore the last snapshot; returns its rows and seconds, or (None, 0)."""
    states = {_iteration(path): path for path in run.folder.glob("state_iter_*.solverstate")}
    for iteration in sorted(states, reverse=True):
        recorded = run.folder / f"state_iter_{iteration}.npz"
        if recorded.is_file():
            solver.restore(str(states[iteration]))
            with np.load(recorded) as arrays:
                rows = {name: arrays[name] for name in arrays.files}
            return rows, float(rows.pop("seconds"))
    return None, 0.0


def _forget_snapshots(run, before):
    for path in run.folder.glob("state_iter_*"):
        if _iteration(path) < before:
            path.unlink()


def _iteration(path):
    return int(re.match(r"state_iter_(\d+)", path.name).group(1))


def _save(path, arrays):
    """Write an .npz file, whole or not at all."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
