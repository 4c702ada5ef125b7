"""Taking the ledger out of use: guards and triggers leave the app's tables, which the app writes as
it did before.

The ledger's own tables stay as they were, closed to whoever still serves, until `migrate` brings
them back or they are dropped.
"""

from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import MIGRATION
from pedro_ledger.store.schema.migrations import TABLE_LOCK_WAIT, lock_migrations
from pedro_ledger.store.schema.returning import is_away
from pedro_ledger.store.schema.standing import require_current_or_away

_SQL = SqlFiles("schema")


class LeaveError(OperatorError):
    """The ledger cannot be left; the message says why and what to do."""


class Leaving(NamedTuple):
    """What was taken, or is to be taken, from the app's tables."""

    was_away: bool
    guards: list[tuple[str, str]]
    """Table and trigger."""
    foreign_keys: list[str]
    """Of the app's own, which the server checks again."""


async def plan_leaving(database: Database) -> Leaving:
    """What `leave` would take. Changes nothing."""
    with unavailable():
        connection = await database.connect(timeouts=MIGRATION)
    try:
        await require_current_or_away(connection, database.url.label)
        guards, foreign_keys = (
            await connection.fetch(_SQL["list_guards"]),
            await connection.fetch(_SQL["list_unenforced"]),
        )
        return _leaving(await is_away(connection), guards, foreign_keys)
    finally:
        await connection.close(timeout=1)


async def leave(database: Database) -> Leaving:
    """Take the guards out, in one transaction; idempotent.

    Whoever serves cannot write from then on. Raises `LeaveError`, `NotCurrent` and `PoolerError`,
    and has then changed nothing.
    """
    with unavailable():
        connection = await database.session(timeouts=MIGRATION)
    try:
        await lock_migrations(connection)
        await require_current_or_away(connection, database.url.label)
        if await is_away(connection):
            return _leaving(True, [], [])
        async with connection.transaction():
            leaving, validations = await _take_out(connection)
        for validation in validations:
            await connection.execute(validation)
        return leaving
    except asyncpg.InsufficientPrivilegeError as error:
        raise LeaveError(f"The database role may not do this ({error}): set DIRECT_URL to the owner's URL.") from error
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        raise LeaveError(
            f"A table is in use by a transaction that did not end within {TABLE_LOCK_WAIT}: end it, or wait for it, and leave "
            "again. Nothing was changed."
        ) from None
    finally:
        await connection.close(timeout=1)


async def drop_ledger(database: Database) -> None:
    """Remove the ledger's schema for good; only one that is out of use. Raises `LeaveError`."""
    with unavailable():
        connection = await database.session(timeouts=MIGRATION)
    try:
        await lock_migrations(connection)
        assert await is_away(connection), "the guards are out before their functions go"
        async with connection.transaction():
            await connection.execute("SELECT set_config('lock_timeout', $1, true)", TABLE_LOCK_WAIT)
            dependents = [row["dependent"] for row in await connection.fetch(_SQL["list_dependents"])]
            if dependents:
                raise LeaveError(
                    f"These of yours need the ledger's schema: {', '.join(dependents)}. Drop them, then leave --drop again."
                )
            await connection.execute("DROP SCHEMA pedro_ledger CASCADE")
    finally:
        await connection.close(timeout=1)


async def _take_out(connection: Connection) -> tuple[Leaving, list[str]]:
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", TABLE_LOCK_WAIT)
    await connection.execute(_SQL["close_ledger"])
    guards, foreign_keys = await connection.fetch(_SQL["list_guards"]), await connection.fetch(_SQL["list_unenforced"])
    for key in foreign_keys:
        await connection.execute(key["enforcement"])
    for guard in guards:
        await connection.execute(guard["removal"])
    back = [*(guard["definition"] for guard in guards), *(key["undoing"] for key in foreign_keys)]
    await connection.execute(_SQL["note_departure"], back)
    return _leaving(False, guards, foreign_keys), [key["validation"] for key in foreign_keys]


def _leaving(was_away: bool, guards: list[asyncpg.Record], foreign_keys: list[asyncpg.Record]) -> Leaving:
    return Leaving(was_away, [(row["table"], row["name"]) for row in guards], [row["name"] for row in foreign_keys])
