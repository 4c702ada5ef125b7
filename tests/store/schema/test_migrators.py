"""Migrators as processes of their own: many at once, killed in the middle, kept out, and behind a
pooler.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from pedro_ledger.postgres.advisory_locks import Lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.sessions import PoolerError
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema import migrations
from pedro_ledger.store.schema.migrations import MigrationError, migrate, migration_files
from tests.support.databases import TestServer
from tests.support.patience import PATIENCE_S
from tests.support.processes import command, environment

HELD = 42  # an advisory lock that keeps a migration in its middle
STUCK_MIGRATOR = f"""
import asyncio, sys
from pedro_ledger.store.schema import migrations
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.sessions import PoolerError
from pedro_ledger.postgres.url import parse_database_url

files = migrations.migration_files()
half = "CREATE TABLE pedro_ledger.half (a int); SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({HELD})"
files.append(migrations.Migration(len(files) + 1, "9999_half", half))
migrations.migration_files = lambda: files
asyncio.run(migrations.migrate(Database(parse_database_url(sys.argv[1]))))
"""


@pytest.fixture
async def empty_url(server: TestServer) -> AsyncIterator[str]:
    """A database with nothing in it."""
    name = await server.clone("template0")
    yield server.url(name)
    await server.drop(name)


@pytest.fixture
async def observer(empty_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


async def until(observer: Connection, condition: str) -> None:
    """Ask until `condition` is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not await observer.fetchval(condition):
            await asyncio.sleep(0.01)


async def test_eight_processes_at_once_migrate_once(empty_url: str, observer: Connection) -> None:
    """They are held at the lock until all eight are there: started freely, the first is done before
    the last has come.
    """
    await observer.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATIONS)
    migrators = [asyncio.create_task(command("migrate", "--json", DATABASE_URL=empty_url)) for _ in range(8)]
    await until(observer, "SELECT count(*) = 8 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    await observer.execute("SELECT pg_advisory_unlock($1)", Lock.MIGRATIONS)
    ended = await asyncio.gather(*migrators)
    assert [status for status, _, _ in ended] == [0] * 8, ended
    applied = sorted(len(json.loads(out)["applied"]) for _, out, _ in ended)
    assert applied == [0] * 7 + [len(migration_files())]


async def test_a_killed_migrator_leaves_nothing_and_lets_the_next_one_in(empty_url: str, observer: Connection) -> None:
    """Neither the server nor the connection (`pgbouncer=true` brings no settings) looks after dead
    clients: the migrator does.
    """
    database = await observer.fetchval("SELECT current_database()")
    await observer.execute(f"ALTER DATABASE {database} SET client_connection_check_interval = 0")
    await observer.execute("SELECT pg_advisory_lock($1)", HELD)
    migrator = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STUCK_MIGRATOR, empty_url + "&pgbouncer=true", env=environment()
    )
    await until(observer, f"SELECT EXISTS (SELECT FROM pg_locks WHERE objid = {HELD} AND NOT granted)")
    migrator.kill()
    await migrator.wait()
    # The held lock is never given back: only the server's own look at the dead client can end that
    # session.
    await until(
        observer,
        f"SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid <> {HELD})"
        f" AND NOT EXISTS (SELECT FROM pg_locks WHERE objid = {HELD} AND NOT granted)",
    )
    assert await migrate(Database(parse_database_url(empty_url))) == []
    assert await observer.fetchval("SELECT to_regclass('pedro_ledger.half')") is None
    assert await observer.fetchval("SELECT count(*) FROM pedro_ledger.schema_migration") == len(migration_files())


async def test_who_waits_too_long_for_another_migrator_is_told(
    empty_url: str, observer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_WAIT", "50ms")
    await observer.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATIONS)
    with pytest.raises(MigrationError, match="Another process has been migrating this database for 50ms"):
        await migrate(Database(parse_database_url(empty_url)))


async def test_a_database_that_is_up_to_date_needs_no_lock_and_no_rights(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_WAIT", "50ms")
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATIONS)
    await other.execute("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA pedro_ledger TO reader")
    try:
        await other.execute("GRANT SELECT ON pedro_ledger.schema_migration TO reader")
        assert await migrate(Database(parse_database_url(database_url.replace("//postgres@", "//reader@")))) == []
    finally:
        await other.execute("DROP OWNED BY reader; DROP ROLE reader")
        await other.close()


async def test_a_role_that_may_not_migrate_is_told_who_may(empty_url: str, observer: Connection) -> None:
    await observer.execute("CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(MigrationError, match=r"may not migrate .*permission denied.*DIRECT_URL"):
            await migrate(Database(parse_database_url(empty_url.replace("//postgres@", "//stranger@"))))
    finally:
        await observer.execute("DROP ROLE stranger")


async def test_a_table_in_use_stops_the_migration_before_the_app_has_waited_long(
    prisma_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "TABLE_LOCK_WAIT", "50ms")
    app = await asyncpg.connect(prisma_database_url)
    try:
        async with app.transaction():
            await app.execute('LOCK TABLE "UsageHistory" IN ROW EXCLUSIVE MODE')
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(
                    MigrationError, match="0002_ledger waited 50ms for a table that another transaction"
                ):
                    await migrate(Database(parse_database_url(prisma_database_url)))
    finally:
        await app.close()
    steps = await migrate(Database(parse_database_url(prisma_database_url)))
    assert steps[0].migration.version == 2


async def test_a_schema_named_like_the_role_does_not_get_the_apps_tables(empty_url: str, observer: Connection) -> None:
    await observer.execute("CREATE SCHEMA postgres")
    await migrate(Database(parse_database_url(empty_url)))
    assert await observer.fetchval("""SELECT to_regclass('public."User"') IS NOT NULL""")


async def test_migrations_do_not_go_through_a_transaction_pooler(
    empty_url: str, observer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler answers in the server's place, so the process that it names is not the one that
    works.
    """
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "get_server_pid", lambda _: -1)
        with pytest.raises(PoolerError, match="set DIRECT_URL"):
            await migrate(Database(parse_database_url(empty_url + "&pgbouncer=true")))
    assert await observer.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    # The parameter alone, on a URL that leads to the server itself, does no harm.
    assert await migrate(Database(parse_database_url(empty_url + "&pgbouncer=true")))
