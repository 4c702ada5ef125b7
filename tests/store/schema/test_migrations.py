"""The schema: what Prisma would make, made once, beside others, and never on top of something
else.
"""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema import migrations
from pedro_ledger.store.schema.migrations import Migration, MigrationError, migrate, migration_files, pending
from tests.support.databases import TestServer

CATALOG = {
    "columns": """SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    "constraints": """SELECT conrelid::regclass::text, conname, contype, confrelid::regclass::text, confupdtype, confdeltype,
        conkey, confkey, condeferrable FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1, 2""",
    "enums": """SELECT t.typname, e.enumlabel, row_number() OVER (PARTITION BY t.typname ORDER BY e.enumsortorder)
        FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid ORDER BY 1, 3""",
    "relations": """SELECT relname, relkind, relpersistence FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1""",
}


def database_of(url: str) -> Database:
    return Database(parse_database_url(url))


@pytest.mark.parametrize("part", CATALOG)
async def test_public_is_what_prisma_makes(database_url: str, prisma_database_url: str, part: str) -> None:
    catalogs = []
    for url in (database_url, prisma_database_url):
        connection = await asyncpg.connect(url)
        catalogs.append([tuple(row) for row in await connection.fetch(CATALOG[part])])
        await connection.close()
    assert catalogs[0] == catalogs[1] != []


async def test_a_database_that_the_app_made_is_adopted_as_it_is(prisma_database_url: str) -> None:
    steps = await migrate(database_of(prisma_database_url))
    assert [(step.migration.version, step.adopted) for step in steps][:2] == [(1, True), (2, False)]
    assert await pending(database_of(prisma_database_url)) == []
    assert await migrate(database_of(prisma_database_url)) == []


async def test_an_app_schema_that_lacks_something_stops_with_its_name(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute('ALTER TABLE "CreditBalance" DROP COLUMN "lastSyncedAt"')
    await connection.close()
    for _ in range(2):  # the second start knows no more than the first
        with pytest.raises(
            MigrationError, match=r'"CreditBalance" has no column "lastSyncedAt".*prisma migrate deploy'
        ):
            await migrate(database_of(prisma_database_url))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('DROP TABLE "SubscriptionEvent"', '"SubscriptionEvent" has no column "id"'),
        ('ALTER TABLE "CreditBalance" ALTER "creditsRemaining" TYPE bigint', '"creditsRemaining" of type integer'),
        ('ALTER TABLE "User" ALTER "createdAt" TYPE timestamptz(3)', r'"createdAt" of type timestamp\(3\) without'),
        ('DROP INDEX "User_clerkId_key"', '"User" has no unique index on "clerkId": .*prisma migrate deploy'),
        ('DROP INDEX "CreditBalance_userId_key"', '"CreditBalance" has no unique index on "userId"'),
        (
            'ALTER TABLE "UsageHistory" ADD tenant text NOT NULL',
            '"UsageHistory" requires the column "tenant".* a default',
        ),
    ],
)
async def test_what_the_daemon_could_not_work_with_stops_the_start(
    prisma_database_url: str, change: str, message: str
) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(change)
    with pytest.raises(MigrationError, match=message):
        await migrate(database_of(prisma_database_url))
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.schema_migration") == 0
    await connection.close()


async def test_what_the_app_has_beside_is_its_own_business(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(
        """ALTER TABLE "User" ADD COLUMN extra text, ADD COLUMN tenant text NOT NULL DEFAULT 'one';
        CREATE TABLE "Invoice" (id text NOT NULL); ALTER TYPE "OperationType" ADD VALUE 'MORE'"""
    )
    await connection.close()
    await migrate(database_of(prisma_database_url))


async def test_eight_that_start_at_once_migrate_once(server: TestServer) -> None:
    name = await server.clone("template0")
    try:
        reports = await asyncio.gather(*(migrate(database_of(server.url(name))) for _ in range(8)))
        assert sorted(len(report) for report in reports) == [0] * 7 + [len(migration_files())]
    finally:
        await server.drop(name)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("SELECT 1 / 0", "division by zero"),
        # Its record is refused: what it made must not stay without one.
        ("ALTER TABLE pedro_ledger.schema_migration ADD CHECK (name <> '9999_broken')", "schema_migration_name_check"),
    ],
)
async def test_a_migration_is_applied_whole_or_not_at_all(
    database_url: str, monkeypatch: pytest.MonkeyPatch, then: str, message: str
) -> None:
    broken = Migration(len(migration_files()) + 1, "9999_broken", f"CREATE TABLE pedro_ledger.half (a int); {then}")
    files = [*migration_files(), broken]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    with pytest.raises(MigrationError, match=f"9999_broken failed: .*{message}"):
        await migrate(database_of(database_url))
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT to_regclass('pedro_ledger.half')") is None
    await connection.close()
    assert [each.name for each in await pending(database_of(database_url))] == ["9999_broken"]


async def test_an_applied_file_that_was_edited_stops_the_start(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = migration_files()
    monkeypatch.setattr(migrations, "migration_files", lambda: [first._replace(text=first.text + " "), *others])
    with pytest.raises(MigrationError, match="0001_app_schema was changed after it was applied"):
        await migrate(database_of(database_url))


async def test_a_database_newer_than_the_code_stops_the_start(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = migration_files()[:-1]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    with pytest.raises(MigrationError, match="upgrade pedro-ledger"):
        await migrate(database_of(database_url))


async def test_a_gap_in_the_record_stops_the_start(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "ALTER TABLE pedro_ledger.schema_migration DISABLE TRIGGER USER; DELETE FROM pedro_ledger.schema_migration WHERE version = 1"
    )
    await connection.close()
    with pytest.raises(MigrationError, match="later migrations but no record of 0001_app_schema"):
        await migrate(database_of(database_url))


def test_files_are_numbered_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0002_second.sql").write_text("SELECT 1")
    monkeypatch.setattr(migrations, "sql_folder", lambda: tmp_path)
    with pytest.raises(MigrationError, match="without a gap"):
        migration_files()
