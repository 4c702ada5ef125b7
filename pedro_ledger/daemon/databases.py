"""The servers that the daemon and the commands work with, as the settings name them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.embedded import EmbeddedPostgres
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.settings import Settings
from pedro_ledger.telemetry.metrics import Metrics


class Databases(NamedTuple):
    """The servers that a command works with."""

    primary: Database
    direct: Database
    """The primary without a pooler between, for what needs a session."""
    is_embedded: bool
    replica: Database | None = None
    """Answers what may be a little late."""


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

        def database(text: str, name: str) -> Database:
            return Database(
                parse_database_url(text, name),
                pool_size_max=settings.pool_size_max,
                slow_query_ms=settings.slow_query_ms,
            )

        primary = database(url, "DATABASE_URL")
        direct = database(direct_url, "DIRECT_URL") if direct_url else primary
        replica_url = settings.database_replica_url and settings.database_replica_url.get_secret_value()
        replica = database(replica_url, "DATABASE_REPLICA_URL") if replica_url else None
        yield Databases(primary, direct, settings.database_url is None, replica)


async def open_reader(databases: Databases, settings: Settings, stack: AsyncExitStack, metrics: Metrics) -> Reader:
    """What reads from the replica while it keeps up; without one, from the primary. The primary is open already."""
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
