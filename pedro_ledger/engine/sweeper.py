"""The sweeper: answers what is past its deadline, and forgets accounts that nobody has touched for long."""

import asyncio
from collections.abc import Callable

from pedro_ledger.engine.ports import Meter
from pedro_ledger.engine.registry import ActorRegistry


class Sweeper:
    """One turn is `sweep(now)`; `run` takes a turn every `interval_s`."""

    def __init__(
        self,
        registry: ActorRegistry,
        meter: Meter,
        monotonic: Callable[[], float],
        *,
        account_idle_s: float,
        interval_s: float = 0.25,
    ) -> None:
        self._registry = registry
        self._meter = meter
        self._monotonic = monotonic
        self._account_idle_s = account_idle_s
        self._interval_s = interval_s

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            self.sweep(self._monotonic())

    def sweep(self, now: float) -> None:
        """One turn; `now` on the clock of the deadlines, in seconds."""
        for actor in list(self._registry.active):
            for _ in range(actor.expire(now)):
                self._meter.refused("deadline")
        self._registry.evict_idle(now - self._account_idle_s)
