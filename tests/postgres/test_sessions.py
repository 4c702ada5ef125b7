"""What sessions and transactions of ours run under: every connection that is made, direct and
through a pooler.
"""

import ast
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import pedro_ledger
from pedro_ledger.cli import partition as partition_command
from pedro_ledger.cli.verify import audit
from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.units import Unit
from pedro_ledger.postgres.advisory_locks import Lock, session_lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.sessions import JOB, SERVING, PoolerError, Timeouts
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.app.seed import seed_lock
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.journal.commit import BatchWriter
from pedro_ledger.store.journal.lock_holders import LockHolderLog
from pedro_ledger.store.proofs.checkpoints import sealing_session
from pedro_ledger.store.reports.exports import ExportReader
from pedro_ledger.store.schema import partitions
from pedro_ledger.store.schema.backups import make_archive, restored_archive
from pedro_ledger.store.schema.leaving import drop_ledger, leave, plan_leaving
from pedro_ledger.store.schema.migrations import migrate, pending, preview
from pedro_ledger.store.schema.roles import RoleError, require_app_role
from pedro_ledger.store.schema.standing import owner_session, require_current
from tests.conftest import settings_for
from tests.support.databases import TestServer, temporary_folder
from tests.support.ledgers import adopt
from tests.support.pooler import pooler
from tests.support.watching import make_hostile, name_of

PACKAGE = Path(pedro_ledger.__file__).parent
IN_FORCE = """SELECT current_setting('timezone') AS timezone, current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('default_transaction_isolation') AS isolation,
    (SELECT array_agg(setting::bigint ORDER BY name) FROM pg_settings
     WHERE name IN ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout')) AS limits"""
Place = tuple[str, str]
"""A file and the function in it."""


def sites() -> set[Place]:
    """Every place of the package where a connection of the database's is opened."""
    found: set[Place] = set()
    for file in PACKAGE.rglob("*.py"):
        if file.is_relative_to(PACKAGE / "tools"):
            continue
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.AsyncFunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                        whose = ast.unparse(call.func.value)
                        if call.func.attr in {"connect", "session"} and whose.endswith(("database", "direct", "self")):
                            found.add((file.name, function.name))
    return found


def test_asyncpg_is_asked_in_one_place() -> None:
    asking = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if not file.is_relative_to(PACKAGE / "tools")
        and any(call in file.read_text() for call in ("asyncpg.connect(", "asyncpg.create_pool("))
    ]
    assert asking == ["postgres/database.py"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[Place, tuple[Timeouts, asyncpg.Record]]:
    """What was in force on each connection, by the place that opened it."""
    found: dict[Place, tuple[Timeouts, asyncpg.Record]] = {}

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def open_one(database: Database, settings: Any = None, timeouts: Timeouts = SERVING) -> Connection:
            code = sys._getframe(1).f_code
            connection: Connection = await original(database, settings, timeouts)
            assert connection._config.command_timeout == timeouts.command_s
            found[Path(code.co_filename).name, code.co_name] = (timeouts, await connection.fetchrow(IN_FORCE))
            return connection

        return open_one

    monkeypatch.setattr(Database, "connect", noting(Database.connect))
    monkeypatch.setattr(Database, "session", noting(Database.session))
    return found


@pytest.fixture
async def empty_url(server: TestServer) -> AsyncIterator[str]:
    name = await server.clone("template0")
    yield server.url(name)
    await server.drop(name)


async def open_each(server: TestServer, url: str, empty_url: str) -> None:
    """Everything in the package that opens a connection."""
    database, empty = Database(parse_database_url(url)), Database(parse_database_url(empty_url))
    await database.open()
    async with database.acquire() as connection:
        await connection.fetchval("SELECT 1")
    await database.close()
    with pytest.raises(RoleError):
        await require_app_role(database)
    await require_current(database)
    await pending(database)
    async with owner_session(database):
        pass
    async with seed_lock(database):
        pass
    async with ExportReader(Reader(database)).session():
        pass
    async with sealing_session(database):
        pass
    await server.execute(
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('ana', 'clerk_ana', now())""",
        database=name_of(url),
    )
    assert await adopt(database, ["ana"]) == {}
    async for _ in Adopter(database).adopt_all():
        pass
    unit: Unit[None] = Unit(Account.new("ana", None), Facts(), 0)
    unit.seal()
    writer = BatchWriter(database, commit_timeout_s=5)
    await writer.commit([unit])
    await writer.settle([unit])
    await writer.close()
    await LockHolderLog(database).tell(["ana"])
    assert (await audit(database, quiet=True))[0].users == 1
    with temporary_folder() as folder:
        await make_archive(database, folder / "archive")
        async with restored_archive(empty, folder / "archive"):
            pass
    await preview(database)
    await plan_leaving(empty)
    await leave(empty)
    await drop_ledger(empty)
    await server.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        database=name_of(empty_url),
    )
    await migrate(empty)
    await partition_command.main(settings_for(url), plan_only=True, as_json=True)
    await partitions.convert(database)
    await partitions.PartitionKeeper(database).keep()
    closed = await database.connect()
    await closed.close()
    await partitions._clear(database, closed)


async def test_every_connection_has_time_outs_and_is_durable_and_in_utc(
    server: TestServer,
    database_url: str,
    empty_url: str,
    opened: dict[Place, tuple[Timeouts, asyncpg.Record]],
) -> None:
    await make_hostile(server, database_url)
    await open_each(server, database_url, empty_url)
    assert sites() - opened.keys() == set(), "these open a connection that this test does not see"
    for place, (timeouts, row) in opened.items():
        limits = [timeouts.idle_in_transaction_s, timeouts.lock_s, timeouts.statement_s]
        assert list(row["limits"]) == [round(1000 * seconds) for seconds in limits], place
        assert min(row["limits"]) > 0, place
        assert max(row["limits"]) <= 86_400_000, place
        assert (row["timezone"], row["synchronous_commit"], row["isolation"]) == ("UTC", "on", "read committed"), place


@pytest.fixture
async def pooled(database_url: str, server: TestServer) -> AsyncIterator[Database]:
    """A database behind a pooler, set to what would break our promises."""
    await make_hostile(server, database_url)
    async with pooler(database_url, servers=2) as url:
        database = Database(parse_database_url(url))
        await database.open()
        yield database
        await database.close()


async def test_through_a_pooler_each_statement_and_transaction_carries_the_settings(pooled: Database) -> None:
    async def check(connection: Connection, timeouts: Timeouts = SERVING) -> None:
        row = await connection.fetchrow(IN_FORCE)
        assert row is not None
        assert (row["timezone"], row["synchronous_commit"]) == ("UTC", "on")
        limits = [timeouts.idle_in_transaction_s, timeouts.lock_s, timeouts.statement_s]
        assert list(row["limits"]) == [round(1000 * seconds) for seconds in limits]

    async with pooled.acquire() as connection:
        await check(connection)
        for isolation in (None, "repeatable_read", "serializable"):
            async with connection.transaction(isolation=isolation):
                await check(connection)
                in_force = await connection.fetchval("SHOW transaction_isolation")
                assert in_force == (isolation or "read_committed").replace("_", " ")
        async with connection.transaction(readonly=True):
            await check(connection)
            assert await connection.fetchval("SHOW transaction_read_only") == "on"
    own = await pooled.connect({"work_mem": "64MB"}, JOB)
    await check(own, JOB)
    assert await own.fetchval("SHOW work_mem") == "64MB"
    await own.execute("BEGIN", timeout=5)
    await check(own, JOB)
    await own.execute("COMMIT", timeout=5)
    await own.close()


async def test_a_pooler_s_sessions_are_left_as_they_were(pooled: Database, database_url: str) -> None:
    """They are other programs' too: neither settings nor locks of theirs may change."""
    held = await asyncpg.connect(**pooled.url.asyncpg_arguments(), statement_cache_size=0)
    await held.execute("SET application_name = 'theirs'; SET work_mem = '65MB'; SELECT pg_advisory_lock(1)")
    for _ in range(4):
        async with pooled.acquire() as connection, connection.transaction():
            await connection.fetchval("SELECT 1")
        async with pooled.acquire() as connection:
            await connection.fetchval("SELECT 1")
    direct = await asyncpg.connect(database_url)
    assert await direct.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1") == 1
    await direct.close()
    assert await held.fetchval("SHOW timezone") == "America/Sao_Paulo"
    assert await held.fetchval("SHOW lock_timeout") == "0"
    await held.close()


async def test_a_failed_transaction_through_a_pooler_leaves_the_connection_usable(pooled: Database) -> None:
    async with pooled.acquire() as connection:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / 0")
        assert not connection.is_in_transaction()
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.fetchval("SELECT 1 / 0")
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_session_is_refused_where_a_pooler_gives_none(pooled: Database, database_url: str) -> None:
    with pytest.raises(PoolerError, match="set DIRECT_URL"):
        await pooled.session()
    # The parameter alone, on a URL that leads to the server itself, does no harm.
    session = await Database(parse_database_url(database_url + "&pgbouncer=true")).session({"work_mem": "64MB"}, JOB)
    row = await session.fetchrow(IN_FORCE)
    assert row is not None
    assert (row["timezone"], list(row["limits"])) == ("UTC", [86_400_000, 60_000, 86_400_000])
    assert await session.fetchval("SHOW work_mem") == "64MB"
    await session.close()


async def test_a_session_s_lock_is_waited_for_so_long_and_no_longer(database: Database, connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_lock($1)", Lock.SEED)
    other = await database.connect()
    with pytest.raises(asyncpg.LockNotAvailableError):
        await session_lock(other, Lock.SEED, wait="20ms")
    await connection.execute("SELECT pg_advisory_unlock($1)", Lock.SEED)
    await session_lock(other, Lock.SEED, wait="20ms")
    assert not await connection.fetchval("SELECT pg_try_advisory_lock($1)", Lock.SEED)
    await other.close()


def test_there_is_no_way_to_say_for_ever() -> None:
    with pytest.raises(AssertionError):
        SERVING._replace(lock_s=0).settings()
