"""Reading the books: balances, usage, statements, single entries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.store.accounts import CLERK_PREFIX
from pedro_ledger.store.database import Database
from pedro_ledger.store.rows import Row
from pedro_ledger.store.sqlfiles import SqlFiles

_SQL = SqlFiles("entries")


class BalanceRow(NamedTuple):
    """Where a user stands."""

    user_id: str
    posted: int
    held: int
    seq: int
    updated_at: datetime


class StatementRow(NamedTuple):
    """An entry as a row of the journal, and the id of the entry that it relates to."""

    entry: Row
    related_id: str | None


class EntryRow(NamedTuple):
    """One entry with everything that is told of it."""

    user_id: str
    entry: Row
    related_id: str | None
    previous_hash: str | None
    refunds: list[Row]


class EntryReader:
    """Reads from `database`, which may be a replica."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, ref: str) -> BalanceRow | None:
        """A user's balance; None where `ref` is nobody."""
        clerk_id = ref.removeprefix(CLERK_PREFIX) if ref.startswith(CLERK_PREFIX) else None
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_SQL["read_balance"], ref if clerk_id is None else None, clerk_id)
        return BalanceRow(*row) if row is not None else None

    async def usage(
        self,
        user_id: str,
        *,
        operation_type: str | None,
        since: datetime | None,
        until: datetime | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> Sequence[asyncpg.Record]:
        """A page of the app's `UsageHistory`, newest first; `before` is the last row of the page before. Times without zone, UTC."""
        at, row_id = before or (None, None)
        async with self._database.acquire() as connection:
            return await connection.fetch(_SQL["list_usage"], user_id, operation_type, since, until, at, row_id, limit)

    async def statement(
        self,
        user_id: str,
        *,
        since: datetime | None,
        until: datetime | None,
        after_seq: int | None,
        newest_first: bool,
        limit: int,
    ) -> list[StatementRow]:
        """A page of a user's entries; `after_seq` is the last seq of the page before."""
        name, start = ("list_statement", 0)
        if newest_first:
            name, start = "list_statement_newest_first", 2**62
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                _SQL[name], user_id, start if after_seq is None else after_seq, since, until, limit
            )
        return [StatementRow(orjson.loads(row["entry"]), row["related_id"]) for row in rows]

    async def entry(self, entry_id: str) -> EntryRow | None:
        """One entry by its id; None where there is none."""
        named = parse_entry_id(entry_id)
        if named is None:
            return None
        async with self._database.acquire() as connection:
            row: Any = await connection.fetchrow(_SQL["read_entry"], *named, entry_id)
        if row is None:
            return None
        return EntryRow(
            row["user_id"],
            orjson.loads(row["entry"]),
            row["related_id"],
            row["previous_hash"],
            orjson.loads(row["refunds"]) if row["refunds"] else [],
        )
