"""Reading the books: balances, usage, statements, single entries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.errors import BalanceNotKnown
from pedro_ledger.ledger.ids import SEQ_MAX, account_tag, parse_entry_id
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.store.journal.accounts import CLERK_PREFIX
from pedro_ledger.store.journal.rows import Row, account_of

_SQL = SqlFiles("journal")


class BalanceRow(NamedTuple):
    """Where a user stands."""

    user_id: str
    posted: int
    held: int
    seq: int
    updated_at: datetime | None
    """When the balance last changed; None before its first entry."""
    last_synced_at: datetime | None
    """When what the app sees was last brought in step; None where the app has no balance."""
    account: Account | None = None
    """Where lots or holds are open; None for a plain account."""


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
    """Balances and single entries come from the primary; pages of usage and statements may come a
    little late, from a replica.
    """

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader

    async def balance(self, ref: str) -> BalanceRow | None:
        """A user's balance; None where `ref` is nobody."""
        clerk_id = ref.removeprefix(CLERK_PREFIX) if ref.startswith(CLERK_PREFIX) else None
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_SQL["read_balance"], ref if clerk_id is None else None, clerk_id)
        if row is None:
            return None
        account = None if row["open_account"] is None else account_of(orjson.loads(row["open_account"]))
        user_id, posted, held, seq, updated_at, last_synced_at, _ = row
        return BalanceRow(user_id, posted, held, seq, updated_at, last_synced_at, account)

    async def balance_at(self, ref: str, moment: datetime) -> BalanceRow | None:
        """A user's balance as it was at `moment`; None where `ref` is nobody. Raises
        `BalanceNotKnown` for what the ledger never saw.
        """
        clerk_id = ref.removeprefix(CLERK_PREFIX) if ref.startswith(CLERK_PREFIX) else None
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                _SQL["read_balance_at"], ref if clerk_id is None else None, clerk_id, moment
            )
        return _past_balance(row, moment) if row is not None else None

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
        """A page of the app's `UsageHistory`, newest first; `before` is the last row of the page
        before. Times without zone, UTC.

        Newest by seq: the ledger's rows in their order, then those from before the ledger in that
        of their times.
        """
        at, row_id = before or (None, None)
        named = parse_entry_id(row_id) if row_id is not None else None
        seq = SEQ_MAX + 1 if row_id is None else 0
        if named is not None and named[0] == account_tag(user_id):
            at, row_id, seq = None, None, named[1]
        return await self._reader.fetch(
            _SQL["list_usage"], user_id, operation_type, since, until, seq, at, row_id, limit
        )

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
        rows = await self._reader.fetch(
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


def _past_balance(row: asyncpg.Record, moment: datetime) -> BalanceRow:
    user_id, at = row["user_id"], row["created_at"]
    if row["seq"] is not None:
        return BalanceRow(user_id, row["balance_after"], row["held_after"], row["seq"], at, at)
    if row["first_kind"] is None:  # not adopted yet: what the app wrote last is all that there is
        known_since = row["unadopted_since"]
        if moment >= known_since:
            return BalanceRow(user_id, row["unadopted_credits"] or 0, 0, 0, known_since, known_since)
    elif row["first_kind"] != "opening":
        return BalanceRow(user_id, 0, 0, 0, None, None)
    else:
        known_since = row["first_at"]
    text = known_since.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    raise BalanceNotKnown(
        f"The ledger has known this user since {text}; what the balance was before, only the app could tell.",
        knownSince=text,
    )
