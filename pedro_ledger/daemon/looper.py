"""The loop that every background job of the daemon runs in: it outlives whatever a tick raises, and
tells of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import random
from time import time
from typing import Any

import structlog

from pedro_ledger.ledger.errors import LedgerError, Unavailable
from pedro_ledger.telemetry.metrics import Metrics

TICK_TIMEOUT_S = 60.0
"""How long a tick may take, unless its loop says otherwise."""
CANCEL_AGAIN_S = 1.0
"""A tick that is cancelled may hang in its own cleanup (a rollback to a server that fell silent),
so it is cancelled again.
"""
CANCELS_AT_STOP = 3
"""So often a tick that will not end is cancelled before the daemon ends without it."""
BACKOFF_FIRST_S = 1.0
BACKOFF_PACES = 10
"""A loop that fails slows down to a tenth of its pace, but not beyond the bounds below."""
BACKOFF_LONGEST_S = 300.0
VITAL_BACKOFF_LONGEST_S = 2.0
"""A replica gets no traffic while a vital loop fails, so it must find out soon that the database is
back.
"""
LOGGED_EVERY_S = 60.0
log = structlog.get_logger(__name__)
Tick = Callable[[], Awaitable[float | None]]
"""One tick. Returns the seconds until the next one, or None for the loop's own pace."""


class Looper:
    """Awaits `tick` again and again, `every_s` seconds after the end of the tick before.

    No exception ends it. A tick that takes longer than `tick_timeout_s` is cancelled and has
    failed; the next one never starts beside it. While ticks fail, the pauses between them double,
    with jitter, from `BACKOFF_FIRST_S` on.

    `wall_clock_s` and `jitter` (0 to 1) are for tests; everything else goes by the clock of the
    event loop.
    """

    def __init__(
        self,
        name: str,
        tick: Tick,
        every_s: float,
        metrics: Metrics,
        *,
        is_vital: bool = False,
        starts_now: bool = True,
        tick_timeout_s: float = TICK_TIMEOUT_S,
        wall_clock_s: Callable[[], float] = time,
        jitter: Callable[[], float] = random,
    ) -> None:
        self.name = name
        self.is_vital = is_vital
        """Whether answers become wrong or insecure while it fails, so that traffic is better sent
        elsewhere.
        """
        self.failure = ""
        """What the last tick failed with; empty while it works.

        Short, and safe to show to anybody.
        """
        self._tick = tick
        self._every_s = every_s
        self._metrics = metrics
        self._starts_now = starts_now
        self._tick_timeout_s = tick_timeout_s
        self._wall_clock_s = wall_clock_s
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._failing_since: float | None = None
        self._failures = 0
        """Ticks in a row that failed."""
        self._backoff_s = 0.0
        self._logged_at = float("-inf")
        self._is_logged = False
        """Whether the log says that it fails now."""
        self._traced: set[str] = set()
        """What the log has a traceback of, since it fails."""
        metrics.add_loop(name, wall_clock_s(), lambda: self.failing_s)

    @property
    def failing_s(self) -> float:
        """For how long no tick has succeeded, from the start of the first that failed; 0 while it
        works.
        """
        return 0.0 if self._failing_since is None else self._loop.time() - self._failing_since

    async def run(self) -> None:
        """Tick until cancelled."""
        pause_s = 0.0 if self._starts_now else self._every_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = await self.run_tick()

    async def run_tick(self) -> float:
        """A tick, whatever becomes of it. Returns the seconds until the next."""
        started = self._loop.time()
        tick = self._loop.create_task(self._take(), name=self.name)
        try:
            await asyncio.wait({tick}, timeout=self._tick_timeout_s)
            if tick.done():
                return self._judge(tick, started)
            self._failed(TimeoutError(f"the tick took more than {self._tick_timeout_s:g} s"), started)
            while not tick.done():
                await _cancel_once(tick)
            return self._pause_s
        finally:
            for _ in range(CANCELS_AT_STOP):
                if not tick.done():
                    await _cancel_once(tick)
            if tick.done() and not tick.cancelled():
                tick.exception()  # else asyncio complains that nobody asked for it

    async def _take(self) -> float | None:
        return await self._tick()

    def _judge(self, tick: asyncio.Task[float | None], started: float) -> float:
        if tick.cancelled():
            self._failed(RuntimeError("the tick was cancelled from within"), started)
            return self._pause_s
        if (error := tick.exception()) is not None:
            self._failed(error, started)
            return self._pause_s
        self._succeeded()
        pause_s = tick.result()
        return self._every_s if pause_s is None else pause_s

    @property
    def _pause_s(self) -> float:
        """Until a loop that fails is tried again."""
        return self._backoff_s * (0.5 + self._jitter() / 2)

    def _succeeded(self) -> None:
        self._metrics.loop_succeeded(self.name, self._wall_clock_s())
        if self._failing_since is None:
            return
        if self._is_logged:
            log.info("loop_recovered", loop=self.name, failures=self._failures, failing_s=round(self.failing_s, 3))
        self._failing_since, self._failures, self._backoff_s, self.failure = None, 0, 0.0, ""
        self._is_logged = False
        self._traced.clear()

    def _failed(self, error: BaseException, started: float) -> None:
        self._metrics.loop_failed(self.name)
        if self._failing_since is None:
            self._failing_since = started
        self._failures += 1
        longest_s = VITAL_BACKOFF_LONGEST_S if self.is_vital else BACKOFF_LONGEST_S
        slowest_s = min(max(BACKOFF_PACES * self._every_s, BACKOFF_FIRST_S), longest_s)
        self._backoff_s = min(2 * self._backoff_s or BACKOFF_FIRST_S, slowest_s)
        self.failure = _kind(error)
        if self._loop.time() - self._logged_at >= LOGGED_EVERY_S:
            self._log(error)

    def _log(self, error: BaseException) -> None:
        """With its traceback once for each kind of error; without one where the database is away,
        whose reason says everything.
        """
        self._logged_at = self._loop.time()
        self._is_logged = True
        is_away = type(error) is Unavailable  # and not a schema that was changed, which waits for somebody to mend it
        kind = _kind(error)
        is_new = not is_away and kind not in self._traced
        self._traced.add(kind)
        tell = log.warning if is_away else log.error
        tell(
            "loop_failed",
            loop=self.name,
            # The first line: what PostgreSQL adds in further ones may be of a row.
            reason=kind if is_away else f"{kind}: {str(error).partition(chr(10))[0]}",
            failures=self._failures,
            failing_s=round(self.failing_s, 3),
            exc_info=error if is_new else None,
        )


def _kind(error: BaseException) -> str:
    """What an error is called.

    Of what the ledger says instead of another error, that one tells more.
    """
    if isinstance(error, LedgerError) and error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


async def _cancel_once(tick: asyncio.Task[Any]) -> None:
    tick.cancel()
    await asyncio.wait({tick}, timeout=CANCEL_AGAIN_S)
