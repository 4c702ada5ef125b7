"""The app's schema changes under a daemon that runs: it is told, everybody who can be served is,
and it heals by itself.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from pedro_ledger.store.schema import obstacles
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.ledgers import make_user
from tests.support.patience import PATIENCE_S

REQUIRED = 'ALTER TABLE "UsageHistory" ADD COLUMN "requestId" text NOT NULL'


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with (
        Daemon(settings_for(database_url, operation_timeout_s=2.0)).started() as running,
        Api.open(running) as api,
    ):
        yield api


async def until_ready(api: Api) -> Reply:
    async with asyncio.timeout(PATIENCE_S):
        while (reply := await api.get("/readyz", auth=None)).status != 200:
            await asyncio.sleep(0.05)
    return reply


async def test_a_required_column_of_the_history_is_told_and_the_same_key_goes_through_once_it_is_gone(
    api: Api, connection: Connection
) -> None:
    user = await api.user()
    await connection.execute(REQUIRED)
    refused = await api.deduct(user, 1, key="k")
    assert (refused.status, refused.code, refused.json["outcome"]) == (503, "schema_changed", "not_applied")
    assert (refused.json["table"], refused.json["column"]) == ("UsageHistory", "requestId")
    assert "requestId" in refused.json["detail"]
    assert (await api.grant(user, 5)).status == 201, "a grant writes no row of the history"
    await unready_for(api, "requestId")
    await connection.execute('ALTER TABLE "UsageHistory" DROP COLUMN "requestId"')
    applied = await api.deduct(user, 1, key="k")
    assert (applied.status, applied.json["creditsRemaining"]) == (201, 104)
    await until_ready(api)


async def unready_for(api: Api, reason: str) -> Reply:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            reply = await api.get("/readyz", auth=None)
            if reply.status == 503 and reason in reply.body.decode():
                return reply
            await asyncio.sleep(0.02)


async def test_unready_lasts_as_long_as_the_column_without_any_traffic(api: Api, connection: Connection) -> None:
    user = await api.user()
    await connection.execute(REQUIRED)
    await api.deduct(user, 1)
    await unready_for(api, "requestId")
    assert api.parts.engine.committer.failure == "", "this would be forgotten without traffic"
    assert series(await api.get("/metrics", auth=None), "stops") == 1
    await connection.execute('ALTER TABLE "UsageHistory" DROP COLUMN "requestId"')
    await until_ready(api)
    assert series(await api.get("/metrics", auth=None), "stops") == 0


def series(reply: Reply, effect: str) -> float:
    name = f'pedro_ledger_schema_obstacles{{effect="{effect}"}} '
    return float(reply.body.decode().partition(name)[2].partition("\n")[0])


async def test_what_only_hinders_some_is_told_beside_ready(
    api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstacles, "WATCH_EVERY_S", 0.0)
    monkeypatch.setattr(obstacles, "WATCH_HINDERED_EVERY_S", 0.0)
    user = await api.user()
    await connection.execute('ALTER TABLE "CreditBalance" ADD COLUMN "tier" text')
    await connection.execute("""UPDATE "CreditBalance" SET "tier" = 'free'""")
    await connection.execute('ALTER TABLE "CreditBalance" ALTER COLUMN "tier" SET NOT NULL')
    async with asyncio.timeout(PATIENCE_S):
        while "hindered" not in (ready := await until_ready(api)).json:
            await asyncio.sleep(0.05)
    assert ready.json["hindered"] == ['"CreditBalance" requires the column "tier", which the daemon does not know']
    assert series(await api.get("/metrics", auth=None), "hinders") == 1
    refused = await api.post("/v1/users", {"clerkId": "new"})
    assert (refused.status, refused.code, refused.json["column"]) == (503, "schema_changed", "tier")
    assert (await api.deduct(user, 1)).status == 201
    await connection.execute("""ALTER TABLE "CreditBalance" ALTER COLUMN "tier" SET DEFAULT 'free'""")
    assert (await api.post("/v1/users", {"clerkId": "new"})).status == 201
    async with asyncio.timeout(PATIENCE_S):
        while (await until_ready(api)).json != {"status": "ready"}:
            await asyncio.sleep(0.05)


async def test_a_required_column_that_the_app_fills_by_a_trigger_is_in_nobodys_way(
    api: Api, connection: Connection
) -> None:
    user = await api.user()
    await connection.execute(
        REQUIRED + "; CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS "
        """$$ BEGIN NEW."requestId" := 'x'; RETURN NEW; END $$; """
        'CREATE TRIGGER fill BEFORE INSERT ON "UsageHistory" FOR EACH ROW EXECUTE FUNCTION fill()'
    )
    assert (await api.deduct(user, 1)).status == 201
    assert await obstacles.find_obstacles(connection) == []
    await connection.execute('ALTER TABLE "UsageHistory" DISABLE TRIGGER fill')
    assert [each.column for each in await obstacles.find_obstacles(connection)] == ["requestId"]


async def test_a_column_that_is_gone_is_named(api: Api, connection: Connection) -> None:
    user = await api.user()
    await connection.execute('ALTER TABLE "UsageHistory" RENAME COLUMN "details" TO "notes"')
    refused = await api.deduct(user, 1, key="k")
    assert (refused.status, refused.code) == (503, "schema_changed")
    assert "details" in refused.json["detail"]
    await unready_for(api, "details")
    await connection.execute('ALTER TABLE "UsageHistory" RENAME COLUMN "notes" TO "details"')
    assert (await api.deduct(user, 1, key="k")).status == 201
    await until_ready(api)


async def test_a_daemon_that_starts_beside_the_column_says_so_and_serves_what_it_can(
    database_url: str, connection: Connection
) -> None:
    await make_user(connection, "u1", 100)
    await connection.execute(REQUIRED)
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        await unready_for(api, "requestId")
        assert await api.balance("u1") == 100
        assert (await api.deduct("u1", 1, key="k")).code == "schema_changed"
        await connection.execute('ALTER TABLE "UsageHistory" DROP COLUMN "requestId"')
        assert (await api.deduct("u1", 1, key="k")).status == 201
        await until_ready(api)
