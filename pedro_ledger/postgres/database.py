"""Connections to one PostgreSQL server: how they are opened, what they carry, how their failures are read."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, Unavailable
from pedro_ledger.postgres.url import DatabaseUrl

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

log = structlog.get_logger(__name__)

READ_TIMEOUT_S = 10.0

SESSION_SETTINGS = {
    "application_name": "pedro_ledger",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "2s",
}

HOT_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",  # a plan made while a table is small is kept when the table has grown
}
"""For connections that run the same few statements all day."""

_BLAME_THE_DATA = frozenset({"22", "23", "42", "P0"})
_CERTAINLY_ABORTED = _BLAME_THE_DATA | {"0A", "25", "40", "53", "54", "55"}

CONNECTION_FAILURES = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    ConnectionError,
    OSError,
    TimeoutError,
)


def commit_failure(error: BaseException) -> NotCommitted | OutcomeUnknown:
    """What an exception out of a commit says: certainly nothing was written, or nobody knows.

    Only an ERROR of the statement itself is certain: the server aborts the transaction with it and says so. A lost
    connection, a timeout, or a server that ends (FATAL) may have come after the commit record reached the disk.
    """
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or ""
        if getattr(error, "severity_en", None) == "ERROR" and sqlstate[:2] in _CERTAINLY_ABORTED:
            return NotCommitted(f"{type(error).__name__} ({sqlstate})", poisoned=sqlstate[:2] in _BLAME_THE_DATA)
    return OutcomeUnknown(f"{type(error).__name__}: the connection failed at or after the commit")


class Database:
    """One server as the daemon sees it: single connections for lanes and sessions, a pool for reads."""

    def __init__(self, url: DatabaseUrl, *, pool_size_max: int = 10, slow_query_ms: int = 100) -> None:
        self.url = url
        self._slow_query_s = slow_query_ms / 1000
        self._pool_size_max = url.connection_limit or pool_size_max
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Open the pool. Raises `Unavailable` when the server cannot be reached."""
        with unavailable():
            self._pool = await asyncpg.create_pool(
                **self._arguments(HOT_SETTINGS),
                min_size=0,
                max_size=self._pool_size_max,
                command_timeout=READ_TIMEOUT_S,
                init=self._watch,
            )

    async def close(self) -> None:
        """Close the pool, without waiting for those who never give back."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(2):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    async def connect(self, settings: Mapping[str, str] | None = None) -> Connection:
        """A connection of one's own, with `settings` for its session; to be closed or terminated by its owner."""
        connection: Connection = await asyncpg.connect(**self._arguments(settings or {}))
        await self._watch(connection)
        return connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A pooled connection. Raises `Unavailable` when none is free or the server fails."""
        assert self._pool is not None, "open the database first"
        with unavailable():
            async with self._pool.acquire(timeout=self.url.pool_timeout_s) as connection:
                yield connection  # type: ignore[misc]

    @property
    def pool_size(self) -> tuple[int, int]:
        """Open connections of the pool, and how many of them are idle."""
        return (self._pool.get_size(), self._pool.get_idle_size()) if self._pool is not None else (0, 0)

    def _arguments(self, settings: Mapping[str, str]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"timeout": self.url.connect_timeout_s, **self.url.asyncpg_arguments()}
        if self.url.pgbouncer:
            arguments["statement_cache_size"] = 0
        else:
            arguments["server_settings"] = {
                **SESSION_SETTINGS,
                **settings,
                "application_name": self.url.application_name,
            }
        return arguments

    async def _watch(self, connection: Connection) -> None:
        connection.add_query_logger(self._log_slow)

    def _log_slow(self, query: asyncpg.connection.LoggedQuery) -> None:
        """The query's first line, which says its purpose; never its parameters."""
        if query.elapsed >= self._slow_query_s:
            log.warning("slow_query", query=query.query.partition("\n")[0][:200], seconds=round(query.elapsed, 3))


class unavailable:  # noqa: N801 - reads as a phrase: `with unavailable():`
    """Turns what a failing server raises into `Unavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, Unavailable):
            return
        if isinstance(error, CONNECTION_FAILURES) or (
            isinstance(error, asyncpg.PostgresError)
            and (error.sqlstate or "")[:2] in {"08", "25", "28", "3D", "40", "53", "55", "57", "58"}
        ):
            raise Unavailable(
                "The database cannot be asked now. Try again shortly.", reason=type(error).__name__
            ) from error
