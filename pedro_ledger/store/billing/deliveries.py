"""Deliveries that could not be applied, for those who look after them: listed, counted, tried
again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.billing.inbox import State
from pedro_ledger.store.journal.rows import Row

_SQL = SqlFiles("billing")


class SetAside(NamedTuple):
    """How much could not be applied."""

    waiting: int
    rejected: int
    periods_without_credits: int
    """Billing periods that are paid and have brought no credits."""


class DeliveryDesk:
    """Reads the inbox of webhooks, and makes what waits due now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(self, state: State | None, before: tuple[datetime, str] | None, limit: int) -> list[Row]:
        """Deliveries that wait, or were rejected, or (None) both, newest first. Raises
        `Unavailable`.

        `before` is the time (UTC, without zone) and id of the last one of the page before.
        """
        at, last_id = before or (None, None)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["list_deliveries"], state and state.stored, at, last_id, limit)
        return [orjson.loads(row[0]) for row in rows]

    async def list_credits_due(self, limit: int) -> list[Row]:
        """Billing periods that are paid and have no credits, oldest first. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            return [dict(row) for row in await connection.fetch(_SQL["list_credits_due"], limit)]

    async def count(self) -> SetAside:
        """How much is set aside. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_SQL["count_set_aside"])
        assert row is not None, "the query always has one row"
        return SetAside(*row)

    async def retry(self, ids: Sequence[str] | None) -> list[str]:
        """Make deliveries due now, rejected ones too; None: all that wait, and all periods.

        Returns the ids of those that are due; one without a payload cannot be tried again. Raises
        `Unavailable`.
        """
        async with self._database.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["retry_deliveries"], ids)
            if ids is None or rows:
                await connection.execute(_SQL["retry_periods"])
        return [row["id"] for row in rows]
