"""Bringing events and accounts of the version before to plans by their id: in small steps, resumed
where they were interrupted.
"""

from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest

from pedro_ledger.cli.verify import audit
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.billing import plans
from pedro_ledger.store.billing.plans import EventPlans
from pedro_ledger.store.schema import migrations
from pedro_ledger.store.schema.migrations import migrate
from tests.billing.test_waiting import comes_true
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer
from tests.support.processes import command

BEFORE = 10
"""The last migration of the version before."""
FILL = """
INSERT INTO "Plan" ("id", "clerkId", "name", "credits", "features", "createdAt", "updatedAt") VALUES
    ('p1', 'cplan_1', 'Pro', 1, '{"AI_TEXT_CHAT": 2}', '2025-01-01', now()),
    ('p2', 'cplan_2', 'Max', 1, '{"AI_TEXT_CHAT": 3}', '2025-01-01', now()),
    ('p3', 'cplan_3', 'Pro', 1, '{"AI_TEXT_CHAT": 5}', '2026-01-01', now());
INSERT INTO "User" ("id", "clerkId", "updatedAt") SELECT 'u' || n, 'c' || n, now() FROM generate_series(1, 9) AS n;
INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
    SELECT 'b' || n, 'u' || n, 'c' || n, 0, now() FROM generate_series(1, 9) AS n;
INSERT INTO "SubscriptionEvent" ("id", "clerkUserId", "planKey", "status", "eventType", "occurredAt", "createdAt", "metadata") VALUES
    ('e1', 'c1', 'Pro', 'active', 'x', '2025-06-01', '2025-06-01', NULL),           -- one plan was called so then
    ('e2', 'c2', 'Pro', 'active', 'x', '2026-06-01', '2026-06-01', NULL),           -- two were
    ('e3', 'c3', 'Pro', 'active', 'x', '2026-06-01', '2026-06-01', '{"data": {"plan_id": "cplan_3"}}'),
    ('e4', 'c4', 'p1', 'active', 'x', '2026-06-01', '2026-06-01', NULL),
    ('e5', 'c5', 'Max', 'active', 'x', '2025-06-01', '2025-06-01', NULL),
    ('e6', 'c5', 'Max', 'ended', 'x', '2025-07-01', '2025-07-01', NULL),
    ('e7', 'c6', 'free', 'active', 'x', '2025-06-01', '2025-06-01', NULL),
    ('e8', 'c7', NULL, 'active', 'x', '2025-06-01', '2025-06-01', NULL),
    ('e9', 'c8', 'Max', 'active', 'x', '2025-06-01', '2025-06-01', '[]');
"""
OPEN_BEFORE = """
INSERT INTO pedro_ledger.account (user_id, tag, balance_id, plan_key)
SELECT 'u' || n, 'tag' || n, 'b' || n, (SELECT pedro_ledger.plan_of("User"."clerkId") FROM public."User" WHERE "User"."id" = 'u' || n)
FROM generate_series($1::int, $2::int) AS n WHERE set_config('pedro_ledger.writer', 'on', true) IS NOT NULL
"""
"""As the version before opens accounts."""
MEANT = {"u1": "p1", "u2": None, "u3": "p3", "u4": "p1", "u5": None, "u6": None, "u7": None, "u8": "p2", "u9": None}


@pytest.fixture
async def before_url(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A database of the version before, with events that it recorded and accounts that it opened
    (u1 to u8).
    """
    name = await server.clone("prisma_template")
    files = migrations.migration_files()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migration_files", lambda: files[:BEFORE])
        await migrate(Database(parse_database_url(server.url(name))))
    await server.execute(FILL, database=name)
    connection = await asyncpg.connect(server.url(name))
    await connection.execute(OPEN_BEFORE, 1, 8)
    await connection.close()
    yield server.url(name)
    await server.drop(name)


@pytest.fixture
async def raw(before_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(before_url)
    yield connection
    await connection.close()


async def on_plans(connection: Connection) -> dict[str, str | None]:
    return {
        row[0]: row[1] for row in await connection.fetch("SELECT user_id, plan_id FROM pedro_ledger.account ORDER BY 1")
    }


async def test_events_of_before_are_settled_in_steps_that_resume(
    before_url: str, raw: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(Database(parse_database_url(before_url)))
    assert set((await on_plans(raw)).values()) == {None}, "the migration itself rewrites no row"
    monkeypatch.setattr(plans, "PAGE_EVENTS", 2)
    counts = []
    while True:
        database = Database(parse_database_url(before_url))  # each time as if the one before had been killed
        await database.open()
        recorded = await EventPlans(database).record_some()
        await database.close()
        if recorded is None:
            break
        counts.append(tuple(recorded))
    assert counts == [(2, 1), (2, 0), (2, 0), (2, 0), (1, 0)]
    assert await on_plans(raw) == {user: plan for user, plan in MEANT.items() if user != "u9"}
    keys = await raw.fetch(
        "SELECT user_id, plan_key FROM pedro_ledger.account WHERE plan_id IS NULL AND plan_key IS NOT NULL"
    )
    assert [tuple(row) for row in keys] == [("u6", "free")]
    assert (
        await raw.fetchval(
            "SELECT count(*) FROM pedro_ledger.account WHERE plan_id IS NOT NULL AND plan_key <> plan_id"
        )
        == 0
    )


async def test_users_are_priced_as_before_until_their_events_are_settled(before_url: str, raw: Connection) -> None:
    await migrate(Database(parse_database_url(before_url)))
    await raw.execute("UPDATE pedro_ledger.event_plan_progress SET is_done = true")  # nobody settles them
    async with Daemon(settings_for(before_url)).started() as running, Api.open(running) as api:
        for user, price in (("u4", 2), ("u8", 3), ("u9", "no_price")):
            assert (await api.grant(user, 10)).status == 201
            reply = await api.deduct(user, None)
            assert (reply.json["credits"] if reply.status == 201 else reply.code) == price, user


async def test_a_replica_of_the_version_before_goes_on_beside(before_url: str, raw: Connection) -> None:
    await migrate(Database(parse_database_url(before_url)))
    await raw.execute(
        """INSERT INTO "SubscriptionEvent" ("id", "clerkUserId", "planKey", "status", "eventType")
        VALUES ('f1', 'c9', 'Max', 'active', 'x'), ('f2', 'c1', 'p3', 'active', 'x')"""
    )
    await raw.execute(OPEN_BEFORE, 9, 9)
    rows = await raw.fetch(
        "SELECT user_id, plan_id, plan_key FROM pedro_ledger.account WHERE user_id IN ('u1', 'u9') ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("u1", "p3", "p3"), ("u9", "p2", "p2")], "it finds prices by the id, too"


async def test_the_daemon_settles_them_by_itself(before_url: str, raw: Connection) -> None:
    await migrate(Database(parse_database_url(before_url)))
    async with Daemon(settings_for(before_url)).started() as running, Api.open(running) as api:
        settled = {"u1": "p1", "u3": "p3", "u4": "p1", "u8": "p2"}

        async def are_settled() -> bool:
            found = await on_plans(raw)
            return {user: found[user] for user in settled} == settled

        await comes_true(are_settled)
        (item,) = (await api.get("/v1/webhook-deliveries?state=waiting")).json["items"]
        assert (item["id"], item["reason"]) == ("app:e2", "plan_ambiguous")
    reports = await audit(Database(parse_database_url(before_url)), quiet=True)
    told = [problem.what for report in reports for problem in report.problems]
    assert [what for what in told if "subscription events" in what] == []


async def test_migrate_settles_them_and_says_so(before_url: str, raw: Connection) -> None:
    status, out, err = await command("migrate", DATABASE_URL=before_url)
    assert status == 0, err
    assert (
        "9 subscription events know their plan by its id; 1 of them names two plans: pedro-ledger webhooks list" in out
    )
    assert await on_plans(raw) == MEANT
    status, out, _ = await command("migrate", "--json", DATABASE_URL=before_url)
    assert (status, orjson.loads(out)["eventPlans"]) == (0, {"events": 0, "ambiguous": 0})


async def test_an_event_of_a_user_with_open_lots_is_followed(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    assert (await api.grant(user, 10, expiresIn=3600)).status == 201
    clerk_id = await connection.fetchval('SELECT "clerkId" FROM "User" WHERE "id" = $1', user)
    await connection.execute(
        """INSERT INTO "Plan" ("id", "clerkId", "name", "credits", "updatedAt") VALUES ('p', 'p', 'Pro', 5, now())"""
    )
    await connection.execute(
        """INSERT INTO "SubscriptionEvent" ("id", "clerkUserId", "planKey", "status", "eventType", "occurredAt")
        VALUES ('e', $1, 'p', 'active', 'x', now())""",
        clerk_id,
    )
    assert await connection.fetchval("SELECT plan_id FROM pedro_ledger.account WHERE user_id = $1", user) == "p"
    assert (await api.deduct(user, 1)).status == 201
