"""Batches on their way to the net: in order, whole, and on the GPU without the host waiting."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicaffe import backend
from minicaffe.blob import Blob
from minicaffe.datasets import Prefetcher
from minicaffe.datasets.staging import DeviceStaging, Staging, make_staging

SHAPES = [(2, 3), (2,)]


def write(k, arrays):
    for i, array in enumerate(arrays):
        array[...] = 10 * k + i


def make(xp, depth=2, fill=write):
    return Prefetcher(lambda k, staging: staging.fill(fill, k),
                      lambda: make_staging(xp, SHAPES, np.float32), depth)


@pytest.mark.parametrize("depth", [1, 3])
def test_batches_come_in_order(xp, depth):
    prefetcher, blobs = make(xp, depth), [Blob(shape) for shape in SHAPES]
    for k in [*range(7), 20, 21]:
        if k == 20:
            prefetcher.go_to(20)
        prefetcher.take(lambda staging: staging.give(blobs))
        for i, blob in enumerate(blobs):
            assert_array_equal(backend.to_numpy(blob.data), np.full(SHAPES[i], 10 * k + i))
    prefetcher.close()


def test_the_kind_follows_the_net_s_arrays(xp):
    assert type(make_staging(xp, SHAPES, np.float32)) is (Staging if xp is np else DeviceStaging)


def test_an_error_in_filling_is_raised_by_take(xp):
    def fill(k, arrays):
        raise ValueError(f"batch {k}")
    prefetcher = make(xp, fill=fill)
    with pytest.raises(ValueError, match="batch 0"):
        prefetcher.take(lambda staging: None)


# ---- the GPU's: who waits for whom, by a log of streams and events

class Log:
    """Streams and events that write down what happens, and events that are done when told."""

    def __init__(self):
        self.lines, self.done = [], True

    def stream(self, name):
        log = self

        class Stream:
            def wait_event(self, event):
                log.lines.append(f"{name} waits for {event.name}")

            def record(self, event):
                log.lines.append(f"{name} records {event.name}")
        return Stream()

    def event(self, name):
        log = self

        class Event:
            def synchronize(self):
                log.lines.append(f"thread waits for {name}")

            @property
            def done(self):
                return log.done
        event = Event()
        event.name = name
        return event


class Array:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def set(self, source, stream):
        self.log.lines.append(f"{self.name} is copied")


def logged(monkeypatch):
    log, names = Log(), iter(("sent", "taken"))
    monkeypatch.setattr(backend, "pinned_empty", np.empty)
    monkeypatch.setattr(backend, "use_device", lambda number: log.lines.append(f"device {number}"))
    monkeypatch.setattr(backend, "new_event", lambda: log.event(next(names)))
    monkeypatch.setattr(backend, "new_stream", lambda: log.stream("copies"))
    net = log.stream("net")
    monkeypatch.setattr(backend, "current_stream", lambda: net)
    xp = type("xp", (), {"empty": staticmethod(lambda shape, dtype: Array(log, f"array {shape}"))})
    return log, DeviceStaging(xp, SHAPES, np.float32)


class Taker:
    def __init__(self, log):
        self.__dict__["log"] = log

    def __setattr__(self, name, array):
        self.log.lines.append(f"blob takes {array.name}")


def test_streams_wait_for_each_other_and_the_host_for_none(monkeypatch):
    log, staging = logged(monkeypatch)
    assert log.lines == ["net records taken"]        # the first copy waits for the memory's last use
    log.lines.clear()
    staging.fill(lambda k, arrays: log.lines.append(f"batch {k}"), 5)
    assert log.lines == ["device 0", "batch 5", "copies waits for taken", "array (2, 3) is copied",
                         "array (2,) is copied", "copies records sent"]
    log.lines.clear()
    staging.give([Taker(log), Taker(log)])
    assert log.lines == ["net waits for sent", "blob takes array (2, 3)", "blob takes array (2,)",
                         "net records taken"]


def test_pinned_memory_is_not_written_while_it_is_read(monkeypatch):
    log, staging = logged(monkeypatch)
    log.done = False
    log.lines.clear()
    staging.fill(lambda k, arrays: log.lines.append("written"), 0)
    assert log.lines[:3] == ["device 0", "thread waits for sent", "written"]


def test_memory_is_not_given_away_while_a_copy_is_on_its_way(monkeypatch):
    log, staging = logged(monkeypatch)
    log.lines.clear()
    log.done = False
    del staging
    assert log.lines == ["thread waits for sent"]


def test_the_copy_is_made_in_the_prefetching_thread(xp):
    threads = []

    def fill(k, arrays):
        threads.append(threading.current_thread())
        write(k, arrays)
    prefetcher = make(xp, fill=fill)
    prefetcher.take(lambda staging: None)
    prefetcher.close()
    assert threading.main_thread() not in threads
