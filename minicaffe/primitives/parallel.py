"""Work on array chunks by several threads: NumPy's copies, ufuncs and products release the GIL.

How work is cut into tasks depends on shapes only, never on the number of threads, so results are
the same bits on any machine size.
"""

import contextlib
import itertools
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, wait

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_pool = None
_blas = None


def _cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:       # not Linux
        return os.cpu_count() or 1


def threads_wanted(value):
    """How many threads MINICAFFE_NUM_THREADS = `value` asks for; one a core (at most 16) if empty."""
    if value.isdecimal() and int(value):
        return int(value)
    if value:
        warnings.warn(f"MINICAFFE_NUM_THREADS is '{value}', not a positive number: ignored")
    return min(_cores(), 16)


num_threads = threads_wanted(os.environ.get("MINICAFFE_NUM_THREADS", ""))


def for_each(task, count):
    """Call task(i, worker) for i = 0 .. count-1; `worker` < num_threads says whose buffers to use.

    Tasks start in order; which worker takes which is left to chance. An exception of a task is
    raised here.
    """
    workers = min(num_threads, count)
    if workers <= 1:
        for i in range(count):
            task(i, 0)
        return
    numbers = itertools.count()              # next() on it is atomic

    def work(worker):
        while (i := next(numbers)) < count:
            task(i, worker)

    futures = [_executor().submit(work, worker) for worker in range(1, workers)]
    try:
        work(0)
    finally:
        wait(futures)                        # or a task may still write when the error is out
    for future in futures:
        future.result()


def _forget_threads():
    """In a forked process there are none: begin anew."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _executor():
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(num_threads - 1, thread_name_prefix="minicaffe")
        return _pool


@contextlib.contextmanager
def one_blas_thread():
    """Within the block BLAS uses the calling thread only: our own threads share out the products.

    Idle BLAS threads spin for a while after each product and would take the cores from ours.
    """
    global _blas
    if _blas is None:
        with _lock:
            _blas = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.get_num_threads() for library in _blas]
    for library in _blas:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, number in zip(_blas, before):
            library.set_num_threads(number)
