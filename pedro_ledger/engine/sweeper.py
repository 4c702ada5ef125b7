"""The sweeper: answers what is past its deadline, and forgets accounts that nobody has touched for
long.
"""

from collections.abc import Callable

from pedro_ledger.engine.ports import Meter
from pedro_ledger.engine.registry import ActorRegistry

SWEEP_EVERY_S = 0.25


class Sweeper:
    """One sweep is `sweep(now)`.

    Whoever starts the engine sweeps every `SWEEP_EVERY_S`: without it no deadline is kept.
    """

    def __init__(
        self,
        registry: ActorRegistry,
        meter: Meter,
        monotonic: Callable[[], float],
        *,
        account_idle_s: float,
    ) -> None:
        self._registry = registry
        self._meter = meter
        self._monotonic = monotonic
        self._account_idle_s = account_idle_s

    async def tick(self) -> None:
        """Sweep once, now."""
        self.sweep(self._monotonic())

    def sweep(self, now: float) -> None:
        """One sweep; `now` on the clock of the deadlines, in seconds. An actor that fails it keeps
        no other from being swept.
        """
        failure: Exception | None = None
        for actor in list(self._registry.active):
            try:
                expired = actor.expire(now)
            except Exception as error:
                failure = failure or error
                continue
            for _ in range(expired):
                self._meter.refused("deadline")
        self._registry.evict_idle(now - self._account_idle_s)
        if failure is not None:
            raise failure
