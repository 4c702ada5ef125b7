"""Whether this replica should get traffic, and what an operator must hear of all the same."""

from collections.abc import Sequence
from typing import Protocol

from pedro_ledger.engine.engine import Engine
from pedro_ledger.postgres.health import DatabaseHealth
from pedro_ledger.store.schema.obstacles import SchemaWatcher

FAILING_TOLD_S = 60.0
"""A loop that fails for less may recover soon: a restarting database reports itself."""


class BackgroundLoop(Protocol):
    """What readiness knows of a loop of the daemon."""

    @property
    def name(self) -> str:
        """As its metrics name it."""

    @property
    def is_vital(self) -> bool:
        """Whether answers become wrong or insecure while it fails."""

    @property
    def failing_s(self) -> float:
        """For how long it has been failing; 0 while it works."""

    @property
    def failure(self) -> str:
        """What it fails with. Callers without a key read it, so it holds nothing confidential."""


class RefreshedKeys(Protocol):
    """What readiness knows of the API keys."""

    @property
    def stale_s(self) -> float:
        """For how long they could not be read, beyond what is tolerated; 0 while they can."""


class Readiness:
    """Asks the database, the engine, the loops, and what watches the app's schema."""

    def __init__(
        self,
        engine: Engine,
        health: DatabaseHealth,
        keys: RefreshedKeys,
        loops: Sequence[BackgroundLoop],
        schema: SchemaWatcher,
    ) -> None:
        self._engine = engine
        self._health = health
        self._keys = keys
        self._loops = loops
        self._schema = schema

    async def missing(self) -> list[str]:
        """What keeps this replica from taking traffic; empty when nothing does."""
        if self._engine.is_draining:
            return ["the daemon is shutting down"]
        missing = await self._health.missing()
        if failure := self._engine.committer.failure:
            missing = [*missing, f"commits fail: {failure}"]
        if self._engine.is_full:
            missing = [*missing, "too many operations are in flight"]
        missing = [*missing, *(f"the app's schema is in the way: {what}" for what in self._schema.stopping)]
        if self._keys.stale_s:
            missing = [*missing, "API keys could not be read for too long, so those in the database are refused"]
        return [*missing, *self._failing(vital=True)]

    def hindered(self) -> list[str]:
        """What of the app's schema keeps something from being done for some users: the others go
        on, so traffic may come.
        """
        return list(self._schema.hindering)

    def failing(self) -> list[str]:
        """The loops of upkeep that have failed for `FAILING_TOLD_S`.

        Traffic may come, but an operator must look.
        """
        return self._failing(vital=False)

    def _failing(self, *, vital: bool) -> list[str]:
        return [
            f"{loop.name}: failing for {loop.failing_s:.0f} s ({loop.failure})"
            for loop in self._loops
            if loop.is_vital is vital and loop.failing_s >= FAILING_TOLD_S
        ]
