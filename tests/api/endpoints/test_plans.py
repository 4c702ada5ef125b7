"""How lists and reports are read at a million rows: by their keys, few rows, in one query each.

The queries are those that the daemon sent for the routes of the route table, with the settings of
its connections.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import asyncpg
import orjson
import pytest

from pedro_ledger.api.routes import ROUTES
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger.ids import account_tag
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.sessions import HOT_SETTINGS, SERVING, session_settings
from pedro_ledger.reports.catalogue import REPORTS
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer

ROWS = 1_000_000
USERS = 2_000
PAGES_READ_MAX = 8_000
"""Blocks of 8 KB. Entries and uses have more than 50,000; the most that is shown are two hundred
users with five uses each."""
QUEUES = {"usage_pending", "balance_pending", "signup_pending"}
"""Read whole: they are emptied every few seconds."""
HOT = "user_hot"
LISTS = [
    route
    for route in ROUTES
    if route.method == "GET" and "limit" in route.query.names() and "{report}" not in route.path
]
FILTERS = {"isActive": "true", "email": "none@example.com", "operationType": "SHORTS_MEDIA", "order": "desc"}
TIMES = "from=2026-02-01T00:00:00Z&to=2026-02-02T00:00:00Z"

FILL = """
    -- Half of the rows are one user's.
    INSERT INTO "User" ("id", "clerkId", "createdAt", "updatedAt")
    SELECT CASE n WHEN 1 THEN 'user_hot' ELSE 'user_' || n END, 'clerk_' || n, timestamp '2026-01-01' + n / 10 * interval '1 hour', now()
    FROM generate_series(1, {users}) AS n;
    INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
    SELECT 'balance_' || "id", "id", "clerkId", 1000000, now() FROM "User";
    INSERT INTO pedro_ledger.account (user_id, tag, balance_id, seq, posted)
    SELECT "id", CASE "id" WHEN 'user_hot' THEN '{tag}' ELSE lpad("id", 10, '0') END, 'balance_' || "id",
        CASE "id" WHEN 'user_hot' THEN {rows} / 2 ELSE {rows} / 2 / ({users} - 1) END, 1000000
    FROM "User";
    CREATE TEMPORARY TABLE line AS
    SELECT user_id, no AS seq, lpad(no::text, 10, '0') || tag || lpad(no::text, 6, '0') AS id, balance_id,
        timestamptz '2026-01-01T00:00:00Z' + no * interval '83 days' / account.seq AS at,
        CASE no % 1000 WHEN 7 THEN 'SHORTS_MEDIA' ELSE 'AI_TEXT_CHAT' END AS operation_type
    FROM pedro_ledger.account, generate_series(1, account.seq) AS no;
    INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key, fingerprint, actor,
        hash, created_at)
    SELECT user_id, seq, id, CASE seq WHEN 1 THEN 'grant' ELSE 'deduct' END, operation_type, -1, 1000000, 'key-' || seq, 'f', 'test',
        decode(repeat('00', 32), 'hex'), at
    FROM line;
    INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")
    SELECT id, user_id, balance_id, operation_type::"OperationType", 1, at AT TIME ZONE 'UTC' FROM line WHERE seq > 1;
    DROP TABLE line;
"""


async def fill(connection: Connection) -> None:
    """A million entries and uses. Indexes are built at the end, which takes a third of the time."""
    constraints = await connection.fetch(
        "SELECT conrelid::regclass::text AS on, conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
        "WHERE conrelid IN ('pedro_ledger.entry'::regclass, '\"UsageHistory\"'::regclass) AND contype IN ('p', 'u')"
    )
    for row in constraints:
        await connection.execute(f'ALTER TABLE {row["on"]} DROP CONSTRAINT "{row["name"]}"')
    indexes = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index "
        "WHERE indrelid IN ('pedro_ledger.entry'::regclass, '\"UsageHistory\"'::regclass)"
    )
    for row in indexes:
        await connection.execute(f"DROP INDEX {row['name']}")
    await connection.execute(
        "SET session_replication_role = 'replica'; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'"
    )
    await connection.execute(FILL.format(users=USERS, rows=ROWS, tag=account_tag(HOT)))
    for row in constraints:
        await connection.execute(f'ALTER TABLE {row["on"]} ADD CONSTRAINT "{row["name"]}" {row["definition"]}')
    for row in indexes:
        await connection.execute(row["definition"])
    await connection.execute("VACUUM ANALYZE")


class Sent(NamedTuple):
    query: str
    arguments: tuple[Any, ...]


@pytest.fixture(scope="module")
async def million_url(server: TestServer) -> AsyncIterator[str]:
    name = await server.clone("ledger_template")
    settings = {"synchronous_commit": "off", "timezone": "UTC"}
    connection = await asyncpg.connect(server.url(name), server_settings=settings)
    try:
        await fill(connection)
    finally:
        await connection.close()
    yield server.url(name)
    await server.drop(name)


is_background: ContextVar[bool] = ContextVar("is_background", default=True)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """The queries that pools send from now on, without those of the daemon's own named tasks."""
    found: list[Sent] = []

    def note(self: Database, logged: asyncpg.connection.LoggedQuery) -> None:
        if not is_background.get() and logged.query.startswith("-- "):
            found.append(Sent(logged.query, logged.args))

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(self: Database, *arguments: Any, **named: Any) -> Any:
            task = asyncio.current_task()
            is_background.set(task is None or not task.get_name().startswith("Task-"))
            return original(self, *arguments, **named)

        return opened

    monkeypatch.setattr(Database, "_log_slow", note)
    monkeypatch.setattr(Database, "acquire", noting(Database.acquire))
    monkeypatch.setattr(Database, "connect", noting(Database.connect))
    return found


@pytest.fixture
async def big(million_url: str, sent: list[Sent]) -> AsyncIterator[Api]:
    settings = settings_for(million_url, prices_refresh_s=600, rollup_interval_s=600)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        yield api


@pytest.fixture
async def explainer(million_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(million_url, server_settings=session_settings(SERVING, HOT_SETTINGS))
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def check(explainer: Connection, sent: list[Sent]) -> None:
    for query, arguments in sent:
        text = await explainer.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *arguments)
        plan = orjson.loads(text)[0]["Plan"]
        scanned = {
            node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan" and node["Actual Loops"]
        }
        sizes = {name: await explainer.fetchval(LARGE, name) for name in scanned - QUEUES}
        assert not any(sizes.values()), f"{query.splitlines()[0]}: reads all of {sizes}"
        read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert read <= PAGES_READ_MAX, f"{query.splitlines()[0]}: reads {read} pages"


LARGE = "SELECT bool_or(reltuples > 1000) FROM pg_class WHERE relname = $1"


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
async def test_a_list_is_read_by_its_keys_and_in_one_query(
    big: Api, explainer: Connection, sent: list[Sent], route: Any
) -> None:
    path = route.path.replace("{user}", HOT)
    queries = [
        "limit=1",
        "limit=200",
        *(f"{name}={value}" for name, value in FILTERS.items() if name in route.query.names()),
    ]
    queries += [TIMES] if "from" in route.query.names() else []
    if "user" in route.query.names():
        queries = [f"{query}&user={HOT}" for query in queries]
    counts = []
    for query in queries:
        sent.clear()
        reply = await big.get(f"{path}?{query}")
        assert reply.status == 200, reply.body
        counts.append(len(sent))
        await check(explainer, sent)
        if (cursor := reply.json["nextCursor"]) is not None:
            sent.clear()
            assert (await big.get(f"{path}?{query}&cursor={cursor}")).status == 200
            await check(explainer, sent)
    assert len(set(counts)) == 1, "as many queries for one row as for two hundred"
    assert counts[0] <= 1 + ("{user}" in route.path or "user" in route.query.names()), (
        "one query, after the user was found"
    )


@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_is_one_query_that_reads_its_rollup(
    big: Api, explainer: Connection, sent: list[Sent], name: str
) -> None:
    for query in ["", *(["?since=2026-02-01&until=2026-02-20"] if "since" in REPORTS[name].takes else [])]:
        sent.clear()
        assert (await big.get(f"/v1/reports/{name}{query}")).status == 200
        assert len(sent) == 1
        await check(explainer, sent)


@pytest.mark.parametrize(
    "path", [f"/v1/users/{HOT}/balance", f"/v1/users/{HOT}/balance?at=2026-02-01T00:00:00Z", f"/v1/users/{HOT}"]
)
async def test_a_user_of_half_a_million_entries_is_read_as_fast_as_another(
    big: Api, explainer: Connection, sent: list[Sent], path: str
) -> None:
    sent.clear()
    assert (await big.get(path)).status == 200
    assert sent
    await check(explainer, sent)
