"""What of the app's schema is in the way of the ledger: found before the ledger moves in, and
watched while it runs.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import NamedTuple

import asyncpg
import structlog

from pedro_ledger.ledger.errors import LedgerError, SchemaChanged
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import failure_of, in_the_way
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.accounts import try_loading
from pedro_ledger.store.journal.commit import try_committing

_SQL = SqlFiles("schema")
WATCH_TICK_S = 1.0
"""How soon it is seen that what stopped everybody is mended, and that something failed."""
WATCH_EVERY_S = 60.0
WATCH_HINDERED_EVERY_S = 10.0
LOGGED_EVERY_S = 10.0
EVERYBODYS_TABLE = "UsageHistory"
"""Each deduct and each refund writes a row of it; rows of the other tables are made for new users
only.
"""
log = structlog.get_logger(__name__)


class Obstacle(NamedTuple):
    """Something of the app's schema that the ledger cannot work with."""

    table: str
    column: str
    what: str
    """What is the matter, as a sentence that begins with the table."""
    is_required: bool = False
    """Whether it is a column that each new row must have."""


async def find_obstacles(connection: Connection) -> list[Obstacle]:
    """Everything in which the app's tables are not what the daemon needs, by the catalog."""
    missing = [
        Obstacle(row["table"], row["column"], f'"{row["table"]}" has no column "{row["column"]}" of type {row["type"]}')
        for row in await connection.fetch(_SQL["list_missing_columns"])
    ]
    obstacles = [
        Obstacle(
            row["table"],
            row["column"],
            f'"{row["table"]}" requires the column "{row["column"]}", which the daemon does not know'
            if row["is_required"]
            else f'"{row["table"]}" has no unique index on "{row["column"]}"',
            row["is_required"],
        )
        for row in await connection.fetch(_SQL["list_schema_obstacles"])
    ]
    return missing + obstacles


class SchemaWatcher:
    """Looks every minute whether the app's schema still lets the ledger work; sooner when something
    failed by it.
    """

    def __init__(self, database: Database, on_found: Callable[[int, int], None]) -> None:
        self._database = database
        self._on_found = on_found
        self._looked_at = float("-inf")
        self._is_suspected = False
        self._failures = 0
        self._logged_at = float("-inf")
        self.stopping: Sequence[str] = ()
        """What keeps everybody's operations from being committed: traffic is better sent elsewhere,
        if anywhere.
        """
        self.hindering: Sequence[str] = ()
        """What keeps some things from being done, such as taking over a user who has no balance;
        the rest goes on.
        """

    def suspect(self, user: str, error: LedgerError) -> None:
        """Something of a user failed by what the caller cannot change: look at the next tick.

        Logged now and then.
        """
        self._is_suspected = True
        self._failures += 1
        if monotonic() - self._logged_at >= LOGGED_EVERY_S:
            log.error(
                "user_not_served",
                user=user,
                code=error.code,
                reason=error.detail,
                failures=self._failures,
                exc_info=error.__cause__,
            )
            self._logged_at, self._failures = monotonic(), 0

    async def tick(self) -> None:
        """Look, if it is time to. Raises `Unavailable`."""
        pace_s = WATCH_EVERY_S
        if self.stopping or self._is_suspected:
            pace_s = 0.0
        elif self.hindering:
            pace_s = WATCH_HINDERED_EVERY_S
        if monotonic() - self._looked_at >= pace_s:
            await self.look()

    async def look(self) -> None:
        """Compare the schema with what the ledger needs, by the catalog and by trying.

        Raises `Unavailable`.
        """
        self._is_suspected = False
        async with self._database.acquire() as connection:
            obstacles = await find_obstacles(connection)
            tried = [await _try(attempt, connection) for attempt in (try_loading, try_committing)]
        self._looked_at = monotonic()
        everybodys = [each for each in obstacles if each.is_required and each.table == EVERYBODYS_TABLE]
        self._tell(
            [*dict.fromkeys([*filter(None, tried), *(each.what for each in everybodys)])],
            [each.what for each in obstacles if each not in everybodys],
        )

    def _tell(self, stopping: Sequence[str], hindering: Sequence[str]) -> None:
        for what in stopping:
            if what not in self.stopping:
                log.error("schema_stops_everybody", what=what)
        for what in hindering:
            if what not in self.hindering:
                log.error("schema_hinders_some", what=what)
        if (self.stopping or self.hindering) and not stopping and not hindering:
            log.info("schema_is_well_again")
        self.stopping, self.hindering = stopping, hindering
        self._on_found(len(stopping), len(hindering))


async def _try(attempt: Callable[[Connection], Awaitable[None]], connection: Connection) -> str | None:
    """What of the schema is in the way of a statement; None when it runs."""
    try:
        await attempt(connection)
    except asyncpg.PostgresError as error:
        if not isinstance(failure_of(error), SchemaChanged):
            raise
        return in_the_way(error)
    return None
