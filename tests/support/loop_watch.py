"""How long the event loop is kept from its other callbacks, in CPU time of its own thread: what
other processes take of the machine meanwhile does not count.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time

LOOK_EVERY_S = 0.001


class LoopWatch:
    """The longest that one iteration of the loop has taken."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.looks = 0
        self._loop = asyncio.get_running_loop()
        self._seen_at = thread_time()
        self._next = self._loop.call_soon(self._look)

    def _look(self) -> None:
        now = thread_time()
        self.longest_s = max(self.longest_s, now - self._seen_at)
        self.looks += 1
        self._seen_at = now
        self._next = self._loop.call_later(LOOK_EVERY_S, self._look)

    def stop(self) -> None:
        """Look no more, and once more now."""
        self._look()
        self._next.cancel()


@contextmanager
def loop_watch() -> Iterator[LoopWatch]:
    """Watch for the length of a block."""
    watch = LoopWatch()
    try:
        yield watch
    finally:
        watch.stop()
