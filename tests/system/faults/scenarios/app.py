"""What the app does to the database beside the daemon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic, perf_counter

import aiohttp
import asyncpg

from tests.system.faults.crowd import HEADERS
from tests.system.faults.rig import Rig, scenario

READ_WITHIN_S = 1.0
ROOM = 5
POOLED = "&pgbouncer=true"
FLOOD = 24
"""Calls at once that want the row: more than the pool has connections."""


@scenario("reads of others within 1 s, none refused; ready; who wants the row is told busy")
async def user_row_locked(rig: Rig) -> None:
    """The app forgets a transaction that holds one `User` row: 3 s in the quick set, and 12 s in
    the long one.
    """
    server = await rig.server()
    for url in (server.url(), server.url() + POOLED):
        await rig.daemon(url)
    locked, *others = await rig.users(13)
    slowest, refused = 0.0, 0
    async with rig.crowd(others) as crowd:
        for _ in range(rig.times(1)):
            await crowd.flow(200)
            async with _held(rig.url, locked), aiohttp.ClientSession(headers=HEADERS) as session:
                rig.faults_injected += 1
                over = asyncio.Event()
                flood = [asyncio.create_task(_rename(session, rig, locked, over)) for _ in range(FLOOD)]
                ends_at = monotonic() + (12 if rig.is_long else 3)
                while monotonic() < ends_at:
                    started = perf_counter()
                    async with session.get(f"{rig.address()}/v1/users/{rig.random.choice(others)}/balance") as answer:
                        assert answer.status == 200, await answer.text()
                    slowest = max(slowest, perf_counter() - started)
                    assert await rig.readiness() == 200
                over.set()
                refused += sum(await asyncio.gather(*flood))
            await crowd.flow(200)
        doubtful = {told: times for told, times in crowd.statuses.items() if told[0] >= 500}
        assert not doubtful, f"neighbours were refused: {doubtful}"
    rig.figures["slowest read of another"] = f"{slowest:.2f} s"
    rig.figures["told busy"] = f"{refused:,}"
    assert refused
    assert slowest < READ_WITHIN_S * ROOM


@asynccontextmanager
async def _held(url: str, user: str) -> AsyncIterator[None]:
    """A transaction of the app's that holds the user's row."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute('SELECT FROM "User" WHERE "id" = $1 FOR UPDATE', user)
            yield
    finally:
        await connection.close()


async def _rename(session: aiohttp.ClientSession, rig: Rig, user: str, over: asyncio.Event) -> int:
    """Change the user again and again; how often it was told that it is busy."""
    refused = 0
    while not over.is_set():
        async with session.patch(f"{rig.address()}/v1/users/{user}", json={"name": "Ana"}) as answer:
            told = await answer.json()
            assert (answer.status, told["code"], told["outcome"]) == (503, "busy", "not_applied"), told
        refused += 1
    return refused
