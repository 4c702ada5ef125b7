"""Where a database stands: whose it is, and whether the ledger in it is what this version needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.schema.migrations import list_pending
from pedro_ledger.store.schema.returning import is_away, is_unfinished

_SQL = SqlFiles("schema")


class NotCurrent(OperatorError):
    """The database has no ledger, or an older one; the message says what to run first."""


class Standing(NamedTuple):
    """What a database holds."""

    has_users: bool
    """Whether the app's tables have rows."""
    has_ledger: bool
    lacks: str | None
    """The first migration that it lacks; None where it is up to date."""
    is_away: bool = False
    """Whether `pedro-ledger leave` took the ledger out of use."""
    is_unfinished: bool = False
    """Whether `migrate` was interrupted after the last migration."""

    def require_current(self, label: str) -> None:
        """Raises `NotCurrent`, with the database's `label`."""
        if not self.has_ledger:
            raise NotCurrent(f"The database {label} has no ledger yet: run pedro-ledger migrate first.")
        if self.is_away:
            raise NotCurrent(
                f"pedro-ledger leave took the ledger of the database {label} out of use: pedro-ledger migrate brings it back."
            )
        if self.lacks is not None:
            raise NotCurrent(f"The database {label} lacks {self.lacks}: run pedro-ledger migrate first.")
        if self.is_unfinished:
            raise NotCurrent(f"The migration of the database {label} was interrupted: run pedro-ledger migrate first.")


async def read_standing(database: Database) -> Standing:
    """Look at a database, and change nothing. Raises `Unavailable` and `MigrationError`."""
    with unavailable():
        connection = await database.connect()
    try:
        with unavailable():
            return await _read(connection)
    finally:
        await connection.close(timeout=1)


async def require_current(database: Database) -> None:
    """Raises `NotCurrent` unless the ledger is there and up to date; the same words for every
    command.
    """
    (await read_standing(database)).require_current(database.url.label)


async def require_ledger(connection: Connection, label: str) -> None:
    """Raises `NotCurrent` where there is no ledger; one of an older version will do."""
    if await connection.fetchval("SELECT to_regclass('pedro_ledger.account')") is None:
        Standing(has_users=False, has_ledger=False, lacks=None).require_current(label)


async def require_current_or_away(connection: Connection, label: str) -> None:
    """Raises `NotCurrent` unless the ledger is up to date, be it in use or not."""
    standing = await _read(connection)
    standing._replace(is_away=False, is_unfinished=standing.is_unfinished and not standing.is_away).require_current(
        label
    )


@asynccontextmanager
async def owner_session(database: Database) -> AsyncIterator[Connection]:
    """A connection for what only the owner of the ledger may do, to a database that is up to date.

    Raises `NotCurrent`.
    """
    with unavailable():
        connection = await database.connect()
    try:
        (await _read(connection)).require_current(database.url.label)
        yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise NotCurrent(f"The database role may not do this ({error}): set DIRECT_URL to the owner's URL.") from error
    finally:
        await connection.close(timeout=1)


async def _read(connection: Connection) -> Standing:
    has_users = False
    if await connection.fetchval("SELECT to_regclass('public.\"User\"')") is not None:
        has_users = await connection.fetchval('SELECT EXISTS (SELECT FROM public."User")')
    behind = await list_pending(connection)
    return Standing(
        has_users,
        await connection.fetchval("SELECT to_regclass('pedro_ledger.account')") is not None,
        behind[0].name if behind else None,
        await is_away(connection),
        await is_unfinished(connection),
    )
