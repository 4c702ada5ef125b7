"""An event loop whose time is a number: a sleep of an hour takes no time, and the same program
takes the same steps again.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and no timer is set: whoever waits would wait for ever."""


class _NoFiles(selectors.SelectSelector):
    """Where the loop would sleep until its next timer, time jumps there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 seconds. Network and files do not work in it."""

    def __init__(self) -> None:
        self._no_files = _NoFiles()
        super().__init__(self._no_files)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._no_files.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in a loop of its own; what it left running is cancelled.

    Raises `Stuck` where nobody can go on.
    """
    loop = VirtualTimeLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
