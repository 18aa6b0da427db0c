"""Making batches ahead in a thread."""

import queue
import threading
import weakref


class Prefetcher:
    """Calls `fill(k, buffers)` in a thread for k = start, start + 1, ..., `depth` batches ahead.

    fill writes batch k into `buffers`, one of the `depth` sets made by `make_buffers()`. An error
    in it is raised by the `take` whose batch it concerns. The thread begins with the first `take`;
    it ends with `close`, when the Prefetcher is dropped (so `fill` must not refer to it), or with
    the interpreter.
    """

    def __init__(self, fill, make_buffers, depth, start=0):
        self.fill = fill
        self.sets = [make_buffers() for _ in range(depth)]
        self.next = start                       # the batch that `take` gives next
        self._finish = None                     # ends the thread; alive while there is one

    def take(self, use):
        """Call `use(buffers)` with the next batch; afterwards the buffers are filled again."""
        if self._finish is None:
            self._start()
        buffers, error = self.ready.get()
        if error is not None:
            self.close()
            raise error
        use(buffers)
        self.free.put(buffers)
        self.next += 1

    def go_to(self, k):
        """Go on with batch k; what was made ahead is thrown away."""
        self.close()
        self.next = k

    def close(self):
        """End the thread; a later `take` starts it anew."""
        if self._finish is not None:
            self._finish()
            self._finish = None

    def _start(self):
        self.free, self.ready = queue.SimpleQueue(), queue.SimpleQueue()
        for buffers in self.sets:
            self.free.put(buffers)
        stop = threading.Event()
        thread = threading.Thread(target=_work, name="minicaffe prefetch", daemon=True,
                                  args=(self.fill, self.free, self.ready, stop, self.next))
        thread.start()
        self._finish = weakref.finalize(self, _end, self.free, stop, thread)


def _work(fill, free, ready, stop, k):
    """The thread: fill free buffers until `stop` is set."""
    while True:
        buffers = free.get()
        if stop.is_set():
            return
        try:
            fill(k, buffers)
        except BaseException as error:          # carried over to the caller of take
            ready.put((None, error))
            return
        ready.put((buffers, None))
        k += 1


def _end(free, stop, thread):
    stop.set()
    free.put(None)                              # wakes it
    if thread is not threading.current_thread():    # the collector may run in the thread itself
        thread.join()
