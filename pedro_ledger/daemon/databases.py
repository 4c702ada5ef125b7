"""The servers that the daemon and the commands work with, as the settings name them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.embedded import EmbeddedPostgres
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.url import DatabaseUrl, DatabaseUrlError, parse_database_url
from pedro_ledger.settings import Settings
from pedro_ledger.telemetry.metrics import Metrics

UPKEEP_CONNECTIONS = 6
"""One for each that asks: keys, their last use, prices, the app's schema, liveness, readiness."""


class Databases(NamedTuple):
    """The servers that a command works with."""

    primary: Database
    direct: Database
    """The primary without a pooler between, for what needs a session."""
    upkeep: Database
    """The primary once more, over a few connections that no caller can take: for keys, prices,
    schema and health.
    """
    is_embedded: bool
    replica: Database | None = None
    """Answers what may be a little late."""


def primary_of(text: str, name: str) -> DatabaseUrl:
    """The URL of a server that is written to: of several hosts the one that can be, unless the URL
    says otherwise.

    Raises `DatabaseUrlError`.
    """
    url = parse_database_url(text, name)
    if url.target_session_attrs in {"read-only", "standby", "prefer-standby"}:
        raise DatabaseUrlError(
            f"{name}: target_session_attrs={url.target_session_attrs} asks for a server that cannot be written to; "
            "name a replica in DATABASE_REPLICA_URL"
        )
    if len(url.hosts) > 1 and url.target_session_attrs is None:
        return replace(url, target_session_attrs="read-write")
    return url


@asynccontextmanager
async def open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """The databases that the settings name, the embedded server started where they name none."""
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            server = EmbeddedPostgres(settings.data_dir)
            url = await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            direct_url = None
        else:
            url = settings.database_url.get_secret_value()
            direct_url = settings.direct_url and settings.direct_url.get_secret_value()

        def database(at: DatabaseUrl) -> Database:
            return Database(at, pool_size_max=settings.pool_size_max, slow_query_ms=settings.slow_query_ms)

        primary_url = primary_of(url, "DATABASE_URL")
        primary = database(primary_url)
        direct = database(primary_of(direct_url, "DIRECT_URL")) if direct_url else primary
        upkeep = database(replace(primary_url, connection_limit=UPKEEP_CONNECTIONS))
        replica_url = settings.database_replica_url and settings.database_replica_url.get_secret_value()
        replica = database(parse_database_url(replica_url, "DATABASE_REPLICA_URL")) if replica_url else None
        yield Databases(primary, direct, upkeep, settings.database_url is None, replica)


async def open_reader(databases: Databases, settings: Settings, stack: AsyncExitStack, metrics: Metrics) -> Reader:
    """What reads from the replica while it keeps up; without one, from the primary.

    The primary is open already.
    """
    if databases.replica is None:
        return Reader(databases.primary)
    await databases.replica.open()
    stack.push_async_callback(databases.replica.close)
    reader = Reader(
        databases.primary,
        databases.replica,
        lag_max_s=settings.replica_lag_max_s,
        on_lag=metrics.replica_lag.set,
        on_fallback=metrics.replica_passed_over.inc,
    )
    await reader.check()
    return reader
