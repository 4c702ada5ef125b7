"""The app's history as monthly partitions: turned under load, guarded, charged, refunded, listed
and verified as before.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import asyncpg
import orjson
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.advisory_locks import Lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema import months, partitions
from pedro_ledger.store.schema.months import Partition
from pedro_ledger.store.schema.roles import make_app_role
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer, temporary_folder
from tests.support.loading import deducts
from tests.support.patience import PATIENCE_S
from tests.support.processes import command

CONSTRAINTS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'public.\"UsageHistory\"'::regclass "
    "AND contype = 'f' ORDER BY 1"
)
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'UsageHistory' ORDER BY 1"
TRIGGERS = (
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'public.\"UsageHistory\"'::regclass "
    "AND NOT tgisinternal ORDER BY 1"
)


async def told(connection: Connection, query: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in await connection.fetch(query)]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to give up; who may be in the way is each test's own matter."""
    monkeypatch.setattr(partitions, "LOCK_WAIT", "2s")
    monkeypatch.setattr(partitions, "HOLD", f"{PATIENCE_S}s")


async def test_history_is_turned_under_load_and_nothing_is_missed(
    api: Api, database_url: str, database: Database, connection: Connection
) -> None:
    users = [await api.user(100_000) for _ in range(4)]
    before = [await told(connection, query) for query in (CONSTRAINTS, INDEXES, TRIGGERS)]
    async with deducts(api, users) as load:
        await load.more(100)
        plan, held_s = await partitions.convert(database)
        await load.more(100)
    assert not plan.state.is_partitioned
    assert held_s > 0
    long = ("CONCURRENTLY", "VALIDATE CONSTRAINT")
    assert [any(word in statement for word in long) for statement in plan.before] == [True, True, False, True]
    assert not [statement for statement in plan.held if any(word in statement for word in long)], "what reads the table"
    assert load.refused == []

    foreign_keys, indexes, triggers = [await told(connection, query) for query in (CONSTRAINTS, INDEXES, TRIGGERS)]
    assert (foreign_keys, triggers) == (before[0], before[2])
    assert [row[0].replace(', "timestamp"', "").replace(" ONLY", "") for row in indexes] == [
        row[0] for row in before[1]
    ]
    listed = await told(connection, partitions._SQL["list_partitions"])
    assert listed[0][0][:20] == "UsageHistory_before_"
    assert [row[3] for row in listed] == [False] * (len(listed) - 1) + [True]
    assert await connection.fetchval('SELECT count(*) FROM public."UsageHistory"') == len(load.acknowledged)
    assert await connection.fetchval(f'SELECT count(*) FROM public."{listed[0][0]}"') == len(load.acknowledged)

    status, out, err = await command("verify", "--json", DATABASE_URL=database_url)
    assert (status, orjson.loads(out)["problems"]) == (0, []), err
    usage = (await api.get(f"/v1/users/{users[0]}/usage?limit=200")).json["items"]
    assert usage == sorted(usage, key=lambda row: (row["timestamp"], row["id"]), reverse=True)
    assert len(usage) == 200 or len(usage) == await connection.fetchval(
        'SELECT count(*) FROM public."UsageHistory" WHERE "userId" = $1', users[0]
    )


@pytest.fixture
async def turned(api: Api, database: Database) -> Api:
    """A daemon on a partitioned database."""
    await partitions.convert(database)
    return api


@pytest.mark.parametrize("table", ["UsageHistory", "first", "next", "UsageHistory_other"])
async def test_every_partition_is_guarded(turned: Api, database: Database, connection: Connection, table: str) -> None:
    user = await turned.user(100)
    entry = (await turned.deduct(user, 5)).json["entryId"]
    listed = [row["name"] for row in await connection.fetch(partitions._SQL["list_partitions"])]
    name = {"first": listed[0], "next": listed[1]}.get(table, table)
    row = f"('x', '{user}', 'b', 'AI_TEXT_CHAT', 1, now())"
    refused = [
        f'INSERT INTO public."{name}" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp") VALUES {row}'
    ]
    refused += [f'TRUNCATE public."{name}"']
    if table in {"UsageHistory", "first"}:
        refused += [f'UPDATE public."{name}" SET "creditsUsed" = 0', f'DELETE FROM public."{name}"']
    for statement in refused:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)
    refund = await turned.refund(user, entryId=entry)
    assert (refund.status, refund.json["creditsRemaining"]) == (201, 100)


async def test_again_changes_nothing_and_a_plan_never_does(database_url: str, connection: Connection) -> None:
    status, planned, err = await command("partition", "--plan", DATABASE_URL=database_url)
    assert (status, "VALIDATE CONSTRAINT" in planned, "ATTACH PARTITION" in planned) == (0, True, True), err
    assert await connection.fetchval(
        "SELECT relkind = 'r' FROM pg_class WHERE oid = 'public.\"UsageHistory\"'::regclass"
    )
    status, out, err = await command("partition", "--json", DATABASE_URL=database_url)
    made = orjson.loads(out)
    assert (status, made["isDone"]) == (0, True), err
    assert all(f"{statement};" in planned for statement in made["besideWriters"] + made["inOneTransaction"])
    status, out, err = await command("partition", DATABASE_URL=database_url)
    assert (status, out.startswith("up to date: ")) == (0, True), err


async def test_a_partitioned_database_is_backed_up_and_restored(
    turned: Api, database_url: str, server: TestServer, connection: Connection
) -> None:
    user = await turned.user(100)
    await turned.deduct(user, 5)
    name = await server.clone("template0")
    with temporary_folder() as folder:
        file = str(Path(folder) / "ledger.dump")
        assert (await command("backup", file, DATABASE_URL=database_url))[0] == 0
        status, out, err = await command("restore", file, DATABASE_URL=server.url(name))
        assert (status, "the books are in order" in out) == (0, True), err
    restored = await asyncpg.connect(server.url(name))
    for query in (CONSTRAINTS, INDEXES, TRIGGERS, partitions._SQL["list_partitions"]):
        assert await told(restored, query) == await told(connection, query)
    await restored.close()
    await server.drop(name)


async def test_the_keeper_makes_the_next_months_once(turned: Api, database: Database, connection: Connection) -> None:
    keeper = partitions.PartitionKeeper(database)
    assert await keeper.keep() == 0
    listed = await connection.fetch(partitions._SQL["list_partitions"])
    await connection.execute(f'DROP TABLE public."{listed[-2]["name"]}"')
    assert await keeper.keep() == 2  # the table and its guard
    assert await keeper.keep() == 0
    assert await connection.fetch(partitions._SQL["list_partitions"]) == listed


async def test_a_role_that_may_only_serve_serves_and_keeps_quiet(
    turned: Api, database: Database, database_url: str, connection: Connection
) -> None:
    await make_app_role(connection, "partition_server")
    try:
        url = database_url.replace("postgres@", "partition_server@")
        assert await partitions.PartitionKeeper(Database(parse_database_url(url))).keep() == 0
        async with Daemon(settings_for(url, allow_owner=False)).started() as running, Api.open(running) as api:
            user = await api.user(100)
            entry = (await api.deduct(user, 5)).json["entryId"]
            assert (await api.refund(user, entryId=entry)).status == 201
    finally:
        await connection.execute("DROP OWNED BY partition_server; DROP ROLE partition_server")


async def test_what_came_while_nobody_made_months_becomes_a_partition(
    turned: Api, database: Database, connection: Connection
) -> None:
    listed = await connection.fetch(partitions._SQL["list_partitions"])
    late = listed[-2]["ends"] + timedelta(days=40)
    user = await turned.user(100)
    balance = await connection.fetchval('SELECT "id" FROM "CreditBalance" WHERE "userId" = $1', user)
    async with connection.transaction():
        await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
        await connection.execute(
            """INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")
            VALUES ('late', $1, $2, 'AI_TEXT_CHAT', 1, $3)""", user, balance, late,
        )  # fmt: skip
    assert await connection.fetchval('SELECT count(*) FROM "UsageHistory_other"') == 1
    assert await partitions.PartitionKeeper(database).keep() > 0
    assert await connection.fetchval('SELECT count(*) FROM "UsageHistory_other"') == 0
    assert await connection.fetchval('SELECT "id" FROM "UsageHistory" WHERE "timestamp" = $1', late) == "late"
    now_listed = [Partition(**dict(row)) for row in await connection.fetch(partitions._SQL["list_partitions"])]
    assert all(one.ends == next_.starts for one, next_ in pairwise(now_listed[:-1]))
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute('TRUNCATE "UsageHistory_other"')


async def test_writers_are_never_held_for_longer_than_promised(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself stops what would take longer; nothing is left of it."""
    monkeypatch.setattr(partitions, "HOLD", "1ms")
    attach = partitions.make_partition
    monkeypatch.setattr(partitions, "make_partition", lambda *given: ["SELECT pg_sleep(60)", *attach(*given)])
    with pytest.raises(partitions.PartitionError, match="stopped writes for more than 1ms, so it was undone"):
        await partitions.convert(database)
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = $1", partitions.BOUND) == 0


async def test_an_attempt_that_fails_leaves_nothing_and_says_who_was_in_the_way(
    api: Api, database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "TRIES", 2)
    monkeypatch.setattr(partitions, "LOCK_WAIT", "50ms")
    async with connection.transaction():
        await connection.execute("LOCK TABLE pedro_ledger.account IN ROW EXCLUSIVE MODE")
        await connection.execute("SELECT pg_sleep(1.1)")
        with pytest.raises(
            partitions.PartitionError, match=rf"pid {connection.get_server_pid()}, .*Nothing was changed"
        ):
            await partitions.convert(database)
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = $1", partitions.BOUND) == 0
    assert await connection.fetchval("SELECT to_regclass('public.\"' || $1 || '\"')", partitions.KEY_INDEX) is None


async def test_a_bound_that_a_killed_attempt_left_is_removed_unless_it_is_at_work(
    database: Database, connection: Connection
) -> None:
    await connection.execute(
        f'ALTER TABLE "UsageHistory" ADD CONSTRAINT "{partitions.BOUND}" CHECK ("timestamp" < now()) NOT VALID'
    )
    other = await database.connect()
    await other.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATIONS)
    assert await partitions.PartitionKeeper(database).keep() == 0
    await other.close()
    assert await partitions.PartitionKeeper(database).keep() == 1
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = $1", partitions.BOUND) == 0


@pytest.mark.parametrize(
    ("statement", "obstacle"),
    [
        ('CREATE VIEW spent AS SELECT sum("creditsUsed") FROM "UsageHistory"', "the view spent reads it"),
        ('CREATE TABLE receipt (usage text REFERENCES "UsageHistory"("id"))', "receipt refers to it"),
        ('CREATE UNIQUE INDEX one_each ON "UsageHistory" ("userId", "creditsUsed")', "the index one_each is unique"),
        (
            'ALTER TABLE "UsageHistory" DISABLE TRIGGER usage_history_is_append_only',
            "its trigger usage_history_is_append_only is disabled",
        ),
        ('ALTER TABLE "UsageHistory" ENABLE ROW LEVEL SECURITY', "row security"),
        ("CREATE PUBLICATION everything FOR ALL TABLES", "the publication everything"),
        (
            'ALTER TABLE "UsageHistory" ADD COLUMN no bigint GENERATED ALWAYS AS IDENTITY',
            "its column no is an identity",
        ),
    ],
)
async def test_what_cannot_be_carried_over_is_named(
    database: Database, connection: Connection, statement: str, obstacle: str
) -> None:
    await connection.execute(statement)
    with pytest.raises(partitions.PartitionError, match=obstacle):
        await partitions.make_plan(connection, "here")


async def test_grants_columns_defaults_and_triggers_of_the_app_are_carried(
    database: Database, connection: Connection
) -> None:
    await connection.execute(
        """DO $$ BEGIN CREATE ROLE partition_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        ALTER TABLE "UsageHistory" ADD COLUMN model text DEFAULT 'none';
        ALTER TABLE "UsageHistory" ADD CONSTRAINT small CHECK ("creditsUsed" < 1000000);
        CREATE INDEX "UsageHistory_model_timestamp_idx" ON "UsageHistory" (model, "timestamp" DESC) WHERE model <> 'none';
        GRANT SELECT ON "UsageHistory" TO partition_reader WITH GRANT OPTION;
        GRANT UPDATE (model) ON "UsageHistory" TO partition_reader"""
    )
    facts = """SELECT (SELECT relacl::text FROM pg_class WHERE oid = 'public."UsageHistory"'::regclass),
        (SELECT array_agg((attname, attacl::text, attnotnull, atthasdef) ORDER BY attname)::text FROM pg_attribute
         WHERE attrelid = 'public."UsageHistory"'::regclass AND attnum > 0),
        (SELECT count(*) FROM pg_constraint WHERE conname = 'small' AND conrelid = 'public."UsageHistory"'::regclass),
        pg_get_indexdef('"UsageHistory_model_timestamp_idx"'::regclass)"""
    before = await told(connection, facts)
    await partitions.convert(database)
    after = await told(connection, facts)
    assert [str(value).replace(" ONLY", "") for value in after[0]] == [str(value) for value in before[0]]
    await connection.execute("DROP OWNED BY partition_reader; DROP ROLE partition_reader")


@pytest.mark.parametrize(
    ("at", "newest", "bound"),
    [
        ("2026-11-23T08:00", None, "2026-12-01"),
        ("2026-11-28T08:00", None, "2026-12-01"),
        ("2026-11-30T08:00", None, "2027-01-01"),
        ("2026-12-31T08:00", None, "2027-02-01"),
        ("2026-11-23T08:00", "2027-03-31T23:59", "2027-04-01"),
    ],
)
def test_the_first_bound_is_never_near(at: str, newest: str | None, bound: str) -> None:
    found = months.first_bound(datetime.fromisoformat(at), datetime.fromisoformat(newest) if newest else None)
    assert found == datetime.fromisoformat(bound)


def test_three_months_ahead_across_a_year() -> None:
    made = [
        line
        for line in months.make_months(*map(datetime.fromisoformat, ("2026-12-01", "2026-11-23")))
        if line.startswith("CREATE TABLE")
    ]
    assert [line.rpartition("FROM ")[2] for line in made] == [
        "('2026-12-01') TO ('2027-01-01')", "('2027-01-01') TO ('2027-02-01')", "('2027-02-01') TO ('2027-03-01')",
    ]  # fmt: skip
