"""Connections to one PostgreSQL server: how they are opened, and what they carry."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.hosts import connect_to_first, has_turned
from pedro_ledger.postgres.sessions import (
    HOT_SETTINGS,
    SERVING,
    PooledConnection,
    PoolerError,
    Timeouts,
    session_settings,
    setting_statements,
)
from pedro_ledger.postgres.sessions import (
    Connection as Connection,  # noqa: PLC0414 - whoever has a database speaks of its connections
)
from pedro_ledger.postgres.url import DatabaseUrl
from pedro_ledger.postgres.write_gate import WriteGate, busy

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger(__name__)


class Database:
    """One server as the daemon sees it: single connections for lanes and sessions, a pool for
    everything else.

    Of the pool at most half waits for what others hold (`writing`), so that reads always have their
    share.
    """

    def __init__(self, url: DatabaseUrl, *, pool_size_max: int = 10, slow_query_ms: int = 100) -> None:
        self.url = url
        self._slow_query_s = slow_query_ms / 1000
        self._pool_size_max = url.connection_limit or pool_size_max
        self._write_gate = WriteGate(max(1, self._pool_size_max // 2), wait_s=SERVING.lock_s)
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Open the pool. Raises `Unavailable` when the server cannot be reached."""
        with unavailable():
            self._pool = await asyncpg.create_pool(
                min_size=0,
                max_size=self._pool_size_max,
                connect=self._connect_for_pool,
                connection_class=PooledConnection if self.url.pgbouncer else Connection,
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

    async def connect(self, settings: Mapping[str, str] | None = None, timeouts: Timeouts = SERVING) -> Connection:
        """A connection of one's own, with `settings` for its session; to be closed or terminated by
        its owner.

        Through a transaction pooler each transaction of it is in another session.
        """
        wanted = session_settings(timeouts, settings or {})
        if not self.url.pgbouncer:
            wanted["application_name"] = self.url.application_name
            return await self._open_connection(timeouts, server_settings=self._startup(wanted))
        return await self._open_connection(
            timeouts,
            wanted,
            server_settings=self._startup({}),
            statement_cache_size=0,
            connection_class=PooledConnection,
        )

    async def session(self, settings: Mapping[str, str] | None = None, timeouts: Timeouts = SERVING) -> Connection:
        """As `connect`, for what needs a session that outlives a transaction. Raises `PoolerError`
        where there is none.

        Some write `pgbouncer=true` into a direct URL too, so what counts is whether the server is
        another process than the one that answered.
        """
        if not self.url.pgbouncer:
            return await self.connect(settings, timeouts)
        connection = await self._open_connection(timeouts, server_settings=self._startup({}), statement_cache_size=0)
        try:
            if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
                raise PoolerError(
                    "This needs a session of its own, which a transaction pooler does not give: "
                    "set DIRECT_URL to the server itself."
                )
            await connection.execute(setting_statements("SET", session_settings(timeouts, settings or {})))
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _startup(self, settings: dict[str, str]) -> dict[str, str]:
        """The settings of a startup message: ours beat those of the URL, which PostgreSQL reads
        first.
        """
        return settings if self.url.options is None else {"options": self.url.options, **settings}

    async def _open_connection(
        self, timeouts: Timeouts, carried: Mapping[str, str] | None = None, **arguments: Any
    ) -> Connection:
        """A connection to the first host that serves; through a pooler each transaction carries
        `carried`.
        """

        async def open_one(place: int) -> Connection:
            connection: Connection = await asyncpg.connect(
                **self.url.asyncpg_arguments(place),
                timeout=self.url.connect_timeout_s,
                command_timeout=timeouts.command_s,
                **arguments,
            )
            if carried is not None:
                assert isinstance(connection, PooledConnection), "it is what was asked for"
                connection.carry(carried)
            connection.add_query_logger(self._log_slow)
            return connection

        return await connect_to_first(self.url, open_one)

    async def _connect_for_pool(self, *_: Any, **__: Any) -> Connection:
        """What the pool passes is what it would have asyncpg open; a connection of ours is opened
        in one way only.
        """
        return await self.connect(HOT_SETTINGS)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A pooled connection. Raises `Unavailable` when none is free or the server fails.

        Where the server turns out to be read-only, the whole pool is opened anew, and looks for the
        primary.
        """
        assert self._pool is not None, "open the database first"
        with unavailable():
            try:
                async with self._pool.acquire(timeout=self.url.pool_timeout_s) as connection:
                    try:
                        yield connection  # type: ignore[misc]
                    finally:
                        if self.url.wants_primary and has_turned(connection):  # type: ignore[arg-type]
                            await self._pool.expire_connections()
            except asyncpg.ReadOnlySQLTransactionError:
                await self._pool.expire_connections()
                raise

    async def look_again(self) -> None:
        """The server is no primary: where another host may be it, open the pool anew."""
        if self._pool is not None and self.url.wants_primary:
            await self._pool.expire_connections()

    @asynccontextmanager
    async def writing(self, subject: str) -> AsyncIterator[Connection]:
        """A pooled connection for what may wait for rows of `subject` (a user, a plan, …) that
        somebody else holds.

        Raises `Busy` where they are held for longer than `SERVING.lock_s`, and nothing was written;
        else as `acquire`.
        """
        async with self._write_gate.entered(subject), self.acquire() as connection:
            try:
                yield connection
            except asyncpg.LockNotAvailableError as error:
                raise busy() from error

    @property
    def pool_size(self) -> tuple[int, int]:
        """Open connections of the pool, and how many of them are idle."""
        return (self._pool.get_size(), self._pool.get_idle_size()) if self._pool is not None else (0, 0)

    def _log_slow(self, query: asyncpg.connection.LoggedQuery) -> None:
        """The query's first line, which says its purpose; never its parameters."""
        if query.elapsed >= self._slow_query_s:
            log.warning("slow_query", query=query.query.partition("\n")[0][:200], seconds=round(query.elapsed, 3))
