"""Reading from a streaming replica while it keeps up, else from the primary."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import asyncpg
import structlog

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("postgres")
CHECK_INTERVAL_S = 0.5
CHECK_TIMEOUT_S = 2.0
REMEMBER_S = 3600.0
UNKNOWN = float("inf")
log = structlog.get_logger(__name__)


class Reader:
    """Runs queries that may be answered a little late: on the replica where there is one and it
    keeps up, else on the primary.

    How far the replica is behind is how long ago the primary was where the replica is now. The
    primary's places are noted at every check, so an idle primary does not look like lag, and a
    replica that lost its primary does not look fresh.
    """

    def __init__(
        self,
        primary: Database,
        replica: Database | None = None,
        *,
        lag_max_s: float = 5.0,
        on_lag: Callable[[float], None] = lambda seconds: None,
        on_fallback: Callable[[], None] = lambda: None,
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._lag_max_s = lag_max_s
        self._on_lag = on_lag
        self._on_fallback = on_fallback
        self._places: deque[tuple[float, int]] = deque(maxlen=round(REMEMBER_S / CHECK_INTERVAL_S))
        self._is_fresh = False
        self._reason: str | None = None

    async def fetch(self, query: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        """The rows of a query that only reads. Raises `Unavailable` when no server answers."""
        if self._replica is not None:
            if self._is_fresh:
                try:
                    async with self._replica.acquire() as connection:
                        return await connection.fetch(query, *arguments)
                except (Unavailable, asyncpg.PostgresError) as error:  # gone, or in conflict with what it replays
                    self._lost(type(error.__cause__ or error).__name__)
            self._on_fallback()
        async with self._primary.acquire() as connection:
            return await connection.fetch(query, *arguments)

    def source(self) -> Database:
        """Who is read from now, for what needs a connection of its own."""
        if self._replica is not None:
            if self._is_fresh:
                return self._replica
            self._on_fallback()
        return self._primary

    async def tick(self) -> None:
        """Check once."""
        await self.check()

    async def check(self) -> float:
        """Measure how far the replica is behind, in seconds; infinite where it cannot be told.

        Decides who answers from now on.
        """
        assert self._replica is not None, "there is nothing to check without a replica"
        try:
            lag_s, reason = await self._measure(self._replica)
        except Exception:
            self._lost("it cannot be checked")  # what was known of it grows old
            raise
        self._on_lag(lag_s)
        self._is_fresh = lag_s <= self._lag_max_s
        if not self._is_fresh:
            self._lost(reason or "it lags")
        elif self._reason is not None:
            self._reason = None
            log.info("replica_used_again", lag_s=round(lag_s, 3))
        return lag_s

    async def _measure(self, replica: Database) -> tuple[float, str | None]:
        now = monotonic()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), self._primary.acquire() as connection:
                primary = await connection.fetchrow(_SQL["read_primary_place"])
        except (Unavailable, TimeoutError, asyncpg.PostgresError):
            primary = None  # the replica may well answer what it has; how late it is grows on its own
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), replica.acquire() as connection:
                copy = await connection.fetchrow(_SQL["read_replica_place"])
        except (Unavailable, TimeoutError, asyncpg.PostgresError) as error:
            return UNKNOWN, f"it does not answer: {type(error.__cause__ or error).__name__}"
        if copy is None or copy["replayed"] is None:
            return UNKNOWN, "it is no standby"
        if primary is not None:
            if primary["cluster"] != copy["cluster"]:
                return UNKNOWN, "it copies another server"
            self._places.append((now, primary["written"]))
        passed = [at for at, written in self._places if written <= copy["replayed"]]
        if not passed:
            return UNKNOWN, "it lags"
        return monotonic() - passed[-1], None

    def _lost(self, reason: str) -> None:
        self._is_fresh = False
        if self._reason != reason:
            self._reason = reason
            log.warning("replica_not_used", reason=reason)
