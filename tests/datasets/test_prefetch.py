import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from minicaffe.datasets import Prefetcher


@pytest.fixture
def threads():
    """A function that lists the prefetching threads begun since (other tests may have left some)."""
    def running():
        return {t for t in threading.enumerate() if t.name == "minicaffe prefetch"}
    before = running()
    return lambda: running() - before


def make(fill, depth=2, start=0):
    return Prefetcher(fill, lambda: [np.empty(1)], depth, start)


def write_k(k, buffers):
    buffers[0][0] = k


def take(prefetcher):
    got = []
    prefetcher.take(lambda buffers: got.append(buffers[0][0]))
    return got[0]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_batches_come_in_order(depth):
    prefetcher = make(write_k, depth, start=3)
    assert [take(prefetcher) for _ in range(20)] == list(range(3, 23))
    assert prefetcher.next == 23
    prefetcher.close()


def test_go_to_forgets_what_was_made_ahead():
    prefetcher = make(write_k, 4)
    take(prefetcher)
    for k in 100, 2:
        prefetcher.go_to(k)
        assert [take(prefetcher), take(prefetcher)] == [k, k + 1]
    prefetcher.close()


def test_works_ahead_but_not_further_than_depth():
    made = []
    prefetcher = make(lambda k, buffers: made.append(k), 3)
    prefetcher.take(lambda buffers: None)
    for _ in range(500):
        if len(made) == 4:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]
    prefetcher.close()


def test_error_comes_with_its_batch_and_again(threads):
    def fill(k, buffers):
        if k == 2:
            raise ValueError(f"batch {k}")
        write_k(k, buffers)
    prefetcher = make(fill, 4)
    assert [take(prefetcher), take(prefetcher)] == [0, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="batch 2"):
            take(prefetcher)
    prefetcher.go_to(3)
    assert take(prefetcher) == 3
    prefetcher.close()
    assert not threads()


def test_no_thread_before_the_first_batch_and_none_after_close(threads):
    prefetcher = make(write_k)
    assert not threads()
    take(prefetcher)
    assert threads()
    prefetcher.close()
    prefetcher.close()
    assert not threads()
    assert take(prefetcher) == 1
    prefetcher.close()


def test_thread_ends_when_the_prefetcher_is_dropped(threads):
    prefetcher = make(write_k)
    take(prefetcher)
    alive = weakref.ref(prefetcher)
    del prefetcher
    gc.collect()
    assert alive() is None and not threads()


def test_interpreter_exits_with_a_prefetcher_at_work():
    code = ("import time; from minicaffe.datasets import Prefetcher\n"
            "p = Prefetcher(lambda k, b: time.sleep(0.01), list, 50)\n"
            "p.take(print)\n")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
