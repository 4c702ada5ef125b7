"""Connections apart from the pool: used again while they work, gone with the first thing that
fails on them.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.kept_connections import KeptConnections
from pedro_ledger.postgres.sessions import HOT_SETTINGS, SERVING


@pytest.fixture
async def kept(database: Database) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(database, HOT_SETTINGS, SERVING._replace(lock_s=0.25))
    yield kept
    kept.close()
    assert len(kept) == 0


async def test_a_connection_that_works_is_kept_with_its_settings(kept: KeptConnections) -> None:
    async with kept.borrowed() as first, kept.borrowed() as second:
        assert first is not second
        assert await first.fetchval("SHOW lock_timeout") == "250ms"
        assert await first.fetchval("SHOW enable_seqscan") == "off"
    assert len(kept) == 2
    async with kept.borrowed() as again:
        assert again in (first, second)


async def test_a_connection_that_something_failed_on_is_not_used_again(kept: KeptConnections) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with kept.borrowed() as first:
            await first.execute("SELECT FROM nowhere")
    assert len(kept) == 0
    assert first.is_closed()


async def test_a_connection_that_the_server_ended_meanwhile_is_passed_over(
    kept: KeptConnections, connection: Connection
) -> None:
    async with kept.borrowed() as first:
        pid = first.get_server_pid()
    await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    while not first.is_closed():
        await connection.execute("SELECT 1")
    async with kept.borrowed() as second:
        assert await second.fetchval("SELECT 1") == 1
