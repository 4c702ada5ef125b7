"""A row that the app locks and forgets holds up its own user alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.pooler import pooler
from tests.system.radius.locks import LOCKS, row_locked

NEIGHBOURS = 8


@asynccontextmanager
async def daemon_on(url: str, **settings: Any) -> AsyncIterator[Api]:
    async with Daemon(settings_for(url, **settings)).started() as running, Api.open(running) as api:
        yield api


@pytest.fixture(params=["direct", "pooled"])
async def served_url(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[str]:
    """The database as the daemon is given it: directly, and through a transaction pooler."""
    if request.param == "direct":
        yield database_url
    else:
        async with pooler(database_url, servers=8) as url:
            yield url


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


async def neighbours_are_served(api: Api, users: list[str], rounds: int = 3) -> None:
    for _ in range(rounds):
        replies = await asyncio.gather(*(api.deduct(user, 1) for user in users))
        assert [reply.status for reply in replies] == [201] * len(users), [reply.body for reply in replies]


@pytest.mark.parametrize(("row", "strength"), LOCKS, ids=[f"{row} {strength}" for row, strength in LOCKS])
async def test_neighbours_are_served_while_a_row_is_locked(
    database_url: str, served_url: str, row: str, strength: str
) -> None:
    """The lock goes only when the neighbours have had their answers, and the user whose row it was
    gets one then.
    """
    async with daemon_on(served_url, operation_timeout_s=20) as api:
        locked, *neighbours = [await api.user() for _ in range(NEIGHBOURS + 1)]
        async with row_locked(database_url, row, strength, locked):
            together = [asyncio.create_task(api.deduct(user, 1)) for user in (locked, *neighbours)]
            replies = await asyncio.gather(*together[1:])
            assert [reply.status for reply in replies] == [201] * NEIGHBOURS
            await neighbours_are_served(api, neighbours)
            assert (await api.get("/readyz", auth=None)).status == 200
        assert (await together[0]).status == 201
        assert await api.balance(locked) == 99
        assert [await api.balance(user) for user in neighbours] == [96] * NEIGHBOURS


@pytest.mark.parametrize("row", ["balance", "account"])
async def test_who_waits_for_a_locked_row_is_told_so_at_the_deadline(
    database_url: str, served_url: str, row: str
) -> None:
    async with daemon_on(served_url, operation_timeout_s=1) as api:
        locked, neighbour = await api.user(), await api.user()
        async with row_locked(database_url, row, "FOR UPDATE", locked):
            replies: list[Reply] = await asyncio.gather(*(api.deduct(locked, 1, key=f"k{no}") for no in range(3)))
            for reply in replies:
                assert (reply.status, reply.code) == (503, "busy")
                assert reply.json["outcome"] == "not_applied"
                assert int(reply.headers["Retry-After"]) > 0
            await neighbours_are_served(api, [neighbour])
            assert await api.balance(locked) == 100, "who only reads does not wait"
        again = await api.deduct(locked, 1, key="k0")
        assert (again.status, again.headers.get("Idempotency-Replayed")) == (201, None)
        assert await api.balance(locked) == 99
