"""A row that the app locks holds up those who want that row: reads, keys, prices and readiness go
on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.databases import TestServer
from tests.support.pooler import pooler
from tests.system.access.test_keys import keys

FLOOD = 30
FILE = {"url": "https://x/y", "pathname": "y", "name": "y", "size": 1}
CALLS: dict[str, Callable[[Api, str], object]] = {
    "upsert": lambda api, user: api.post("/v1/users", {"clerkId": "clerk_locked", "name": "Ana"}),
    "change": lambda api, user: api.call("PATCH", f"/v1/users/{user}", {"name": "Ana"}),
    "file": lambda api, user: api.post("/v1/storage-objects", {"user": user, **FILE}),
    "event": lambda api, user: api.post(
        "/v1/subscription-events", {"clerkUserId": "clerk_locked", "status": "active", "eventType": "t"}
    ),
}


@pytest.fixture(params=["direct", "pooled"])
async def small(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Api]:
    """A daemon with few connections; direct, and through a pooler."""
    options = "connection_limit=4"
    if request.param == "direct":
        settings = settings_for(f"{database_url}&{options}")
        async with Daemon(settings).started() as running, Api.open(running) as api:
            yield api
        return
    async with pooler(database_url, servers=12) as url:
        settings = settings_for(f"{url}&{options}", DIRECT_URL=database_url)
        async with Daemon(settings).started() as running, Api.open(running) as api:
            yield api


@asynccontextmanager
async def locked(database_url: str, user: str) -> AsyncIterator[None]:
    """The app holds the user's row, as a forgotten transaction of Prisma's does."""
    holder = await asyncpg.connect(database_url)
    try:
        async with holder.transaction():
            await holder.execute('SELECT FROM "User" WHERE "id" = $1 FOR UPDATE', user)
            yield
    finally:
        await holder.close()


@pytest.mark.parametrize("call", CALLS)
async def test_who_wants_a_locked_user_is_told_busy_and_the_others_are_served(
    small: Api, database_url: str, call: str
) -> None:
    user = (await small.post("/v1/users", {"clerkId": "clerk_locked"})).json["id"]
    other = await small.user()
    async with locked(database_url, user):
        flood = [asyncio.create_task(CALLS[call](small, user)) for _ in range(FLOOD)]  # type: ignore[arg-type, var-annotated]
        served = 0
        while not all(task.done() for task in flood):
            answers = await asyncio.gather(
                small.get(f"/v1/users/{other}/balance"),
                small.get(f"/v1/users/{user}/balance"),
                small.get("/readyz", auth=None),
                small.call("PATCH", f"/v1/users/{other}", {"name": "Bia"}),
            )
            assert [answer.status for answer in answers] == [200] * 4, answers
            served += 1
        refused: list[Reply] = [task.result() for task in flood]
        assert served > 1
        assert {(reply.status, reply.code, reply.json["outcome"]) for reply in refused} == {
            (503, "busy", "not_applied")
        }
        assert all(int(reply.headers["Retry-After"]) > 0 for reply in refused)
    assert (await CALLS[call](small, user)).status in {200, 201}  # type: ignore[misc]


async def test_a_key_is_revoked_while_a_row_is_locked(small: Api, database_url: str) -> None:
    made = await keys(database_url, "create", "k", "--scope", "ledger:read")
    user = (await small.post("/v1/users", {"clerkId": "clerk_locked"})).json["id"]
    while (await small.get(f"/v1/users/{user}", auth=f"Bearer {made['key']}")).status != 200:
        await asyncio.sleep(0.01)
    async with locked(database_url, user):
        flood = [asyncio.create_task(CALLS["upsert"](small, user)) for _ in range(FLOOD)]  # type: ignore[arg-type, var-annotated]
        holder = await asyncpg.connect(database_url)
        await holder.execute("UPDATE pedro_ledger.api_key SET revoked_at = now()")
        await holder.close()
        while (await small.get(f"/v1/users/{user}", auth=f"Bearer {made['key']}")).status != 401:
            assert not all(task.done() for task in flood), "it is seen only after the flood"
            await asyncio.sleep(0.01)
        await asyncio.gather(*flood)


async def test_keys_that_cannot_be_read_are_refused_after_a_while_and_the_first_key_is_not(
    server: TestServer, database_url: str
) -> None:
    made = await keys(database_url, "create", "k", "--scope", "ledger:read")
    settings = settings_for(database_url, keys_stale_max_s=0.2)
    async with Daemon(settings).started() as running, Api.open(running) as api:

        async def until(status: int) -> Reply:
            while (reply := await api.get("/v1/users", auth=f"Bearer {made['key']}")).status != status:
                await asyncio.sleep(0.01)
            return reply

        await until(200)
        holder = await asyncpg.connect(database_url)
        async with holder.transaction():
            await holder.execute("LOCK TABLE pedro_ledger.api_key IN ACCESS EXCLUSIVE MODE")
            refused = await until(503)
            assert (refused.code, refused.json["reason"]) == ("unavailable", "keys_not_refreshed")
            assert "Retry-After" in refused.headers
            assert (await api.get("/v1/users")).status == 200, "the first key is in no table"
            assert (await api.get("/v1/users", auth="Bearer nobody")).status == 401
            ready = await api.get("/readyz", auth=None)
            assert ready.status == 503
            assert "API keys" in str(ready.json["missing"])
        await holder.close()
        await until(200)
        assert (await api.get("/readyz", auth=None)).status == 200
