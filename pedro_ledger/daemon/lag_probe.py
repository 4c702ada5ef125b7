"""Measures how late the event loop is with what is due: every request waits at least so long."""

import asyncio
from collections.abc import Callable
from time import monotonic

PROBE_EVERY_S = 0.1
"""A pause longer than this is never missed, for one probe is always due."""


class LagProbe:
    """Asks the loop for a callback every `PROBE_EVERY_S`, and tells how many seconds late it came.

    `monotonic_s` is for tests. The loop's own clock does not do: uvloop's stands still during an
    iteration.
    """

    def __init__(self, on_lag: Callable[[float], None], monotonic_s: Callable[[], float] = monotonic) -> None:
        self._on_lag = on_lag
        self._monotonic_s = monotonic_s
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None
        self._due_at = 0.0

    def start(self) -> None:
        """Probe until `stop`."""
        self._due_at = self._monotonic_s() + PROBE_EVERY_S
        self._next = self._loop.call_later(PROBE_EVERY_S, self.probe)

    def probe(self) -> None:
        """Tell of the callback that was due, and ask for the next."""
        self._on_lag(max(0.0, self._monotonic_s() - self._due_at))
        self.start()

    async def stop(self) -> None:
        """Ask for no more."""
        if self._next is not None:
            self._next.cancel()
