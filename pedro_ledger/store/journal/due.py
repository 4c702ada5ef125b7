"""Which accounts have something that has fallen due."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from pedro_ledger.postgres.advisory_locks import Lock, try_lock
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("journal")
IDLE_MAX = "60s"
"""For so long a page is held while its accounts are touched."""


class DueAccounts(NamedTuple):
    """Accounts, longest due first, and for how long the first of them waits, in seconds."""

    user_ids: Sequence[str]
    lag_s: float


class DueReader:
    """Finds them, for one replica at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_holds(self) -> tuple[int, int, float]:
        """Open holds, credits that they hold, and for how long the oldest is open, in seconds.

        Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_SQL["count_holds"])
        assert row is not None, "an aggregate has one row"
        return row["holds"], row["credits"], row["oldest_s"]

    @asynccontextmanager
    async def page(self, accounts_max: int) -> AsyncIterator[DueAccounts | None]:
        """At most so many that are due, while the context lasts; None where another replica is at
        them. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('idle_in_transaction_session_timeout', $1, true)", IDLE_MAX)
            if not await try_lock(connection, Lock.DUE):
                yield None
                return
            rows = await connection.fetch(_SQL["list_due"], accounts_max)
            yield DueAccounts([row["user_id"] for row in rows], rows[0]["lag_s"] if rows else 0.0)
