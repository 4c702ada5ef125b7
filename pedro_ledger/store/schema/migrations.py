"""Brings a database up to date: plain numbered SQL files, forward only, each once, under one lock.

The lock is a session's advisory lock on a connection of its own, so replicas that start together
wait for each other; it goes with the session, however that ends.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.advisory_locks import Lock, session_lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles, sql_folder
from pedro_ledger.postgres.sessions import JOB, MIGRATION
from pedro_ledger.store.schema.guards import Guard, list_guards
from pedro_ledger.store.schema.obstacles import find_obstacles
from pedro_ledger.store.schema.returning import (
    Returned,
    follow_app,
    is_away,
    is_unfinished,
    put_guards_back,
    sum_history,
)
from pedro_ledger.store.schema.roles import renew_app_roles

_SQL = SqlFiles("schema")
LOCK_WAIT = "120s"
"""How long to wait for another process that migrates."""
TABLE_LOCK_WAIT = "5s"
"""How long to wait for a table in use; whoever wants the table meanwhile waits behind us, so it is
short.
"""
_WAS = re.compile(r"^-- was: ([0-9a-f]{64})$", re.MULTILINE)
_SKIP_WHEN = re.compile(r"^-- skip-when: (.+)$", re.MULTILINE)


class MigrationError(OperatorError):
    """The database cannot be brought up to date; the message says why and what to do."""


class Migration(NamedTuple):
    """One file of `sql/migrations`."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.text.encode()).hexdigest()

    @property
    def checksums(self) -> set[str]:
        """Its own, and those of earlier texts that made the same."""
        return {self.checksum, *_WAS.findall(self.text)}

    @property
    def skip_when(self) -> str | None:
        """A query; where it answers true, what the file makes is there already and is taken over as
        it is.
        """
        found = _SKIP_WHEN.search(self.text)
        return found.group(1) if found else None


class AppliedMigration(NamedTuple):
    """A migration that was applied now, or taken over."""

    migration: Migration
    adopted: bool


def migration_files() -> list[Migration]:
    """Every migration, in order.

    Raises `MigrationError` where a number is missing or twice there.
    """
    found = []
    for file in sorted((sql_folder() / "migrations").glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)", file.stem)
        if match is None:
            raise MigrationError(f"{file.name} is no migration's name: write 0007_what_it_does.sql")
        found.append(Migration(int(match[1]), file.stem, file.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("sql/migrations must be numbered 0001, 0002, … without a gap")
    return found


async def pending(database: Database) -> list[Migration]:
    """What `migrate` would do, without doing it."""
    with unavailable():
        connection = await database.connect(timeouts=JOB)
    try:
        return await list_pending(connection)
    finally:
        await connection.close(timeout=1)


async def list_pending(connection: Connection) -> list[Migration]:
    """The migrations that the database lacks, in order. Raises `MigrationError`."""
    return plan(migration_files(), await _applied(connection))


class Preview(NamedTuple):
    """What `migrate` would do."""

    steps: list[AppliedMigration]
    """What it would apply or take over."""
    users: int
    """Whom it would adopt."""
    guards: list[Guard]
    """What it would put on the app's tables."""
    history_rows: int
    """Rows of the app's usage that it would sum up for the reports; about."""
    is_away: bool
    """Whether it would bring back a ledger that is out of use."""


async def preview(database: Database) -> Preview:
    """What `migrate` would do. Changes nothing.

    Raises `MigrationError` where it would fail for what the app's tables lack.
    """
    with unavailable():
        connection = await database.connect(timeouts=JOB)
    try:
        steps = []
        files, behind = migration_files(), await list_pending(connection)
        for migration in behind:
            adopted = migration.skip_when is not None and bool(await connection.fetchval(migration.skip_when))
            if adopted and migration.version == 1:
                await check_app_schema(connection)
            steps.append(AppliedMigration(migration, adopted))
        users = history_rows = 0
        has_ledger = await connection.fetchval("SELECT to_regclass('pedro_ledger.account')") is not None
        if await connection.fetchval("SELECT to_regclass('public.\"CreditBalance\"')") is not None:
            users = await connection.fetchval(_SQL["count_unadopted" if has_ledger else "count_balances"])
            if not has_ledger or await is_unfinished(connection):
                history_rows = await connection.fetchval(_SQL["count_history"])
        away = await is_away(connection)
        there = list_guards(each.text for each in files if each not in behind and not away)
        guards = [guard for guard in list_guards(each.text for each in files) if guard not in there]
        return Preview(steps, users, guards, history_rows, away)
    finally:
        await connection.close(timeout=1)


async def is_up_to_date(database: Database) -> bool:
    """Whether `migrate` has nothing to do."""
    with unavailable():
        connection = await database.connect(timeouts=JOB)
    try:
        return not await list_pending(connection) and not await is_unfinished(connection)
    finally:
        await connection.close(timeout=1)


async def migrate(database: Database, on_return: Callable[[Returned], None] = lambda _: None) -> list[AppliedMigration]:
    """Do what is pending; also bring back a ledger that `leave` took out of use, and tell
    `on_return` what the app did meanwhile.

    Safe beside other processes that do the same, and goes on where one was interrupted. Raises
    `MigrationError` and `PoolerError`.
    """
    if await is_up_to_date(database):
        return []  # the usual start takes no lock, and needs no right to make anything
    with unavailable():
        connection = await database.session(timeouts=MIGRATION)
    try:
        await lock_migrations(connection)
        if not await _has_record(connection):
            await connection.execute(_SQL["make_record"])
        away = await is_away(connection)
        guards = await _put_guards_back(connection) if away else 0
        steps = [AppliedMigration(each, await _apply(connection, each)) for each in await list_pending(connection)]
        await renew_app_roles(connection)
        await sum_history(connection)
        if away:
            on_return((await follow_app(connection))._replace(guards=guards))
        return steps
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"The database role may not migrate ({error}): run `pedro-ledger migrate` with DIRECT_URL set to the owner's URL."
        ) from error
    finally:
        await connection.close(timeout=1)


async def _put_guards_back(connection: Connection) -> int:
    # Migrations may bring accounts up to date, which is refused to everybody else.
    await connection.execute("SELECT set_config('pedro_ledger.returning', 'on', false)")
    try:
        return await put_guards_back(connection, lock_wait=TABLE_LOCK_WAIT)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        raise MigrationError(
            f"The guards waited {TABLE_LOCK_WAIT} for a table that another transaction uses: "
            "end that transaction, or wait for it, and start again."
        ) from None


def plan(files: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    """The files that were not applied yet.

    Raises `MigrationError` where the database and the files disagree.
    """
    by_version = {migration.version: migration for migration in files}
    for row in applied:
        migration = by_version.get(row["version"])
        if migration is None:
            raise MigrationError(
                f"The database has migration {row['name']}, which this pedro-ledger does not know: upgrade pedro-ledger."
            )
        if row["checksum"] not in migration.checksums:
            raise MigrationError(
                f"Migration {row['name']} was changed after it was applied: restore the file; a change needs a new migration."
            )
    done = {row["version"] for row in applied}
    todo = [migration for migration in files if migration.version not in done]
    if todo and done and todo[0].version < max(done):
        raise MigrationError(
            f"The database has later migrations but no record of {todo[0].name}: restore its row in "
            "pedro_ledger.schema_migration, or the database from a backup."
        )
    return todo


async def check_app_schema(connection: Connection) -> None:
    """Raises `MigrationError` with the first thing in which the app's tables are not what the
    daemon needs.
    """
    for obstacle in await find_obstacles(connection):
        cure = (
            "give it a default in the database"
            if obstacle.is_required
            else "bring the database up to the app's schema with `prisma migrate deploy`"
        )
        raise MigrationError(f"The app's table {obstacle.what}: {cure}, then migrate again.")


async def _has_record(connection: Connection) -> bool:
    return await connection.fetchval("SELECT to_regclass('pedro_ledger.schema_migration')") is not None


async def _applied(connection: Connection) -> Sequence[asyncpg.Record]:
    return await connection.fetch(_SQL["list_applied"]) if await _has_record(connection) else ()


async def lock_migrations(connection: Connection) -> None:
    """Take the migrators' lock, which goes with the session. Raises `MigrationError` where that
    takes too long.

    A transaction pooler would take the lock on one server connection, migrate on others and leave
    it locked behind.
    """
    try:
        await session_lock(connection, Lock.MIGRATIONS, wait=LOCK_WAIT)
    except asyncpg.LockNotAvailableError:
        raise MigrationError(
            f"Another process has been migrating this database for {LOCK_WAIT}. Wait for it, or end it, and start again."
        ) from None


async def _apply(connection: Connection, migration: Migration) -> bool:
    """One migration and its record, or neither.

    Returns whether what it makes was there already and was taken over.
    """
    try:
        async with connection.transaction():
            # Not the role's own search path: a schema named like the role would get the app's
            # tables.
            await connection.execute(
                "SELECT set_config('search_path', 'public', true), set_config('lock_timeout', $1, true)",
                TABLE_LOCK_WAIT,
            )
            adopted = migration.skip_when is not None and bool(await connection.fetchval(migration.skip_when))
            if not adopted:
                await connection.execute(migration.text)
            if migration.version == 1:
                await check_app_schema(connection)
            await connection.execute(
                _SQL["record_applied"], migration.version, migration.name, migration.checksum, adopted
            )
    except asyncpg.LockNotAvailableError:
        raise MigrationError(
            f"Migration {migration.name} waited {TABLE_LOCK_WAIT} for a table that another transaction uses: "
            "end that transaction, or wait for it, and start again."
        ) from None
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"Migration {migration.name} failed: {error}") from error
    return adopted
