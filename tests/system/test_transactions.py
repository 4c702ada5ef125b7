"""Whatever writes does so in a transaction of ours: in UTC, durable, with time-outs; also where the
database is set otherwise.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer
from tests.support.pooler import pooler
from tests.support.processes import command
from tests.support.watching import make_hostile, name_of, seen, watch
from tests.support.webhooks import SETTINGS, clerk, clerk_user

WRITTEN = {
    "User", "CreditBalance", "UsageHistory", "Plan", "Feature", "AdminSettings", "StorageObject", "SubscriptionEvent",
    "entry", "account", "refusal", "api_key", "webhook_delivery",
}  # fmt: skip
TIMES = {
    "User": ("createdAt", "updatedAt"),
    "CreditBalance": ("createdAt", "updatedAt", "lastSyncedAt"),
    "UsageHistory": ("timestamp",),
    "Plan": ("createdAt", "updatedAt"),
    "Feature": ("createdAt", "updatedAt"),
    "AdminSettings": ("createdAt", "updatedAt"),
    "StorageObject": ("createdAt", "updatedAt"),
    "SubscriptionEvent": ("createdAt", "occurredAt"),
}

A_USER_OF_THE_APP = """INSERT INTO "User" ("id", "clerkId", "createdAt", "updatedAt")
    VALUES ('by_app', 'clerk_by_app', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')"""


@pytest.fixture(params=["direct", "pooled"])
async def hostile_url(
    request: pytest.FixtureRequest, server: TestServer, database_url: str
) -> AsyncIterator[tuple[str, str]]:
    """The URL to serve with, and the direct one, of a database that is set to what would break our
    promises.
    """
    name = name_of(database_url)
    # A default of the server's would be in the session's time zone: each time is to be given.
    drops = [f'ALTER TABLE "{table}" ALTER "{column}" DROP DEFAULT' for table in TIMES for column in TIMES[table]]
    await server.execute(A_USER_OF_THE_APP, *drops, database=name)
    await watch(server, database_url)
    await make_hostile(server, database_url)
    if request.param == "direct":
        yield database_url, database_url
    else:
        async with pooler(database_url, servers=3) as url:
            yield f"{url}&connection_limit=5", database_url


async def write_everything(api: Api) -> None:
    """Each call that writes, once."""
    user = await api.user(1000)
    entry = (await api.deduct(user, 10)).json["entryId"]
    plan = await api.post("/v1/plans", {"name": "Pro", "credits": 100})
    file = {"user": user, "url": "https://x/y", "pathname": "y", "name": "y", "size": 1}
    event = {"clerkUserId": "clerk_x", "status": "active", "eventType": "test"}
    answers = [
        await api.call("PATCH", f"/v1/users/{user}", {"name": "Ana"}),
        await api.refund(user, entryId=entry),
        await api.deduct(user, 5000),
        await api.deduct("by_app", 1),
        await api.call("PATCH", f"/v1/plans/{plan.json['id']}", {"credits": 200}),
        await api.post("/v1/features", {"workspaceId": "w", "name": "f"}),
        await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 1}}),
        await api.post("/v1/storage-objects", file),
        await api.post("/v1/subscription-events", event),
        await clerk(api, clerk_user("created", "clerk_by_webhook")),
    ]
    assert [answer.status for answer in answers] == [200, 201, 402, 402, 200, 201, 200, 201, 201, 200], answers


async def test_whatever_writes_is_a_transaction_of_ours(
    server: TestServer, hostile_url: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    url, direct_url = hostile_url
    settings = settings_for(url, DIRECT_URL=direct_url, rollup_interval_s=0.05, **SETTINGS)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        await write_everything(api)
        while await server.fetch("SELECT FROM pedro_ledger.usage_pending", database=name_of(direct_url)):
            await asyncio.sleep(0.05)
    status, _, err = await command("keys", "create", "k", "--scope", "admin", DATABASE_URL=url)
    assert status == 0, err
    writers = await seen(server, direct_url)
    assert {each.place for each in writers} >= WRITTEN
    assert [each for each in writers if not each.is_ours] == []


async def test_times_of_the_apps_tables_are_utc(server: TestServer, hostile_url: tuple[str, str]) -> None:
    url, direct_url = hostile_url
    async with (
        Daemon(settings_for(url, DIRECT_URL=direct_url, **SETTINGS)).started() as running,
        Api.open(running) as api,
    ):
        await write_everything(api)
    wrong = []
    for table, columns in TIMES.items():
        times = ", ".join(f'"{column}"' for column in columns)
        rows = await server.fetch(f'SELECT {times} FROM public."{table}"', database=name_of(direct_url))
        assert rows, table
        now = datetime.now(UTC).replace(tzinfo=None)
        wrong += [(table, dict(row)) for row in rows if any(abs(now - at) > timedelta(minutes=30) for at in row)]
    assert wrong == []
