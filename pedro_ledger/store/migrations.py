"""Brings a database up to date: plain numbered SQL files, forward only, each once, under one lock.

The lock is a session's advisory lock on a connection of its own, so replicas that start together wait for each other; it
goes with the session, however that ends.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import asyncpg

from pedro_ledger.store.database import Connection, Database, unavailable
from pedro_ledger.store.sqlfiles import SqlFiles, sql_folder

_SQL = SqlFiles("migrations")
LOCK_KEY = 0x5045_4452_4F  # "PEDRO"
LOCK_WAIT = "120s"
_SKIP_WHEN = re.compile(r"^-- skip-when: (.+)$", re.MULTILINE)


class MigrationError(Exception):
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
    def skip_when(self) -> str | None:
        """A query; where it answers true, what the file makes is there already and is taken over as it is."""
        found = _SKIP_WHEN.search(self.text)
        return found.group(1) if found else None


class Step(NamedTuple):
    """A migration that was applied now, or taken over."""

    migration: Migration
    adopted: bool


def migration_files() -> list[Migration]:
    """Every migration, in order. Raises `MigrationError` where a number is missing or twice there."""
    found = []
    for file in sorted((sql_folder() / "migrations").glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)", file.stem)
        if match is None:
            raise MigrationError(f"{file.name} is no migration's name: write 0007_what_it_does.sql")
        found.append(Migration(int(match[1]), file.stem, file.read_text()))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("sql/migrations must be numbered 0001, 0002, … without a gap")
    return found


async def pending(database: Database) -> list[Migration]:
    """What `migrate` would do, without doing it."""
    with unavailable():
        connection = await database.connect()
    try:
        return plan(migration_files(), await _applied(connection))
    finally:
        await connection.close(timeout=1)


async def migrate(database: Database) -> list[Step]:
    """Do what is pending. Safe beside other processes that do the same. Raises `MigrationError`."""
    with unavailable():
        connection = await database.connect()
    try:
        await connection.execute(
            "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', $1, false)",
            LOCK_WAIT,
        )
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        except asyncpg.LockNotAvailableError:
            raise MigrationError(
                f"Another process has been migrating this database for {LOCK_WAIT}. Wait for it, or end it, and start again."
            ) from None
        await connection.execute(_SQL["make_record"])
        steps = []
        for migration in plan(migration_files(), await _applied(connection)):
            steps.append(Step(migration, await _apply(connection, migration)))
            if migration.version == 1:
                await check_app_schema(connection)
        return steps
    finally:
        await connection.close(timeout=1)


def plan(files: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    """The files that were not applied yet. Raises `MigrationError` where the database and the files disagree."""
    by_version = {migration.version: migration for migration in files}
    for row in applied:
        migration = by_version.get(row["version"])
        if migration is None:
            raise MigrationError(
                f"The database has migration {row['name']}, which this pedro-ledger does not know: upgrade pedro-ledger."
            )
        if migration.checksum != row["checksum"]:
            raise MigrationError(
                f"Migration {row['name']} was changed after it was applied: restore the file; a change needs a new migration."
            )
    done = {row["version"] for row in applied}
    return [migration for migration in files if migration.version not in done]


async def check_app_schema(connection: Connection) -> None:
    """Raises `MigrationError` where the app's tables lack a column that the daemon needs, or have it in another type."""
    missing = await connection.fetchrow(_SQL["find_missing_column"])
    if missing is not None:
        raise MigrationError(
            f'The app\'s table "{missing["table"]}" has no column "{missing["column"]}" of type {missing["type"]}: '
            "bring the database up to the app's schema with `prisma migrate deploy`, then migrate again."
        )


async def _applied(connection: Connection) -> Sequence[asyncpg.Record]:
    if await connection.fetchval("SELECT to_regclass('pedro_ledger.schema_migration')") is None:
        return ()
    return await connection.fetch(_SQL["list_applied"])


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with connection.transaction():
        adopted = migration.skip_when is not None and bool(await connection.fetchval(migration.skip_when))
        if not adopted:
            try:
                await connection.execute(migration.text)
            except asyncpg.PostgresError as error:
                raise MigrationError(f"Migration {migration.name} failed: {error}") from error
        await connection.execute(_SQL["record_applied"], migration.version, migration.name, migration.checksum, adopted)
    return adopted
