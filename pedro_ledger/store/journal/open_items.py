"""Reading what is open on an account: lots and holds, and single holds in any state."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.ledger.meters import Meter, MeterQuery
from pedro_ledger.ledger.originals import original_of
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.accounts import CLERK_PREFIX, read_meters
from pedro_ledger.store.journal.rows import Row, account_of, entry_of

_SQL = SqlFiles("journal")


class AccountRow(NamedTuple):
    """An account, and the entries that made its open lots, by seq."""

    account: Account
    made: Mapping[int, Row]


class HoldRow(NamedTuple):
    """A hold, the account as it is, and its entries in order of seq."""

    hold_id: str
    account: Account
    original: Original
    entries: list[Row]


class OpenItemsReader:
    """Reads from the primary: what is open must not be a little late."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self, ref: str) -> AccountRow:
        """The account of a user; one without entries where the ledger does not know the user yet.

        Raises `UserNotFound` and `Unavailable`.
        """
        clerk_id = ref.removeprefix(CLERK_PREFIX) if ref.startswith(CLERK_PREFIX) else None
        async with self._database.acquire() as connection:
            row: Any = await connection.fetchrow(_SQL["read_open_items"], ref if clerk_id is None else None, clerk_id)
        if row is None:
            raise UserNotFound(f"There is no user {ref}.", user=ref)
        if row["account"] is None:
            return AccountRow(Account.new(row["user_id"])._replace(posted=max(0, row["shown"] or 0)), {})
        made = orjson.loads(row["made"]) if row["made"] else []
        return AccountRow(account_of(orjson.loads(row["account"])), {each["seq"]: each for each in made})

    async def meters(self, user_id: str, asked: Sequence[MeterQuery]) -> list[Meter]:
        """What a user spent in windows, from the entries."""
        async with self._database.acquire() as connection:
            return (await read_meters(connection, [(user_id, each) for each in asked])).get(user_id, [])

    async def newer(self, known: Mapping[str, int]) -> list[Account]:
        """The accounts of these users that are beyond the seq that is known. Raises
        `Unavailable`.
        """
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["list_newer"], list(known), list(known.values()))
        return [account_of(orjson.loads(row[0])) for row in rows]

    async def hold(self, hold_id: str) -> HoldRow | None:
        """A hold by its id; None where there is none."""
        named = parse_entry_id(hold_id)
        if named is None:
            return None
        async with self._database.acquire() as connection:
            row: Any = await connection.fetchrow(_SQL["read_hold"], *named, hold_id)
        if row is None:
            return None
        entries: list[Row] = orjson.loads(row["entries"])
        made, *related = [entry_of(each) for each in entries]
        return HoldRow(hold_id, account_of(orjson.loads(row["account"])), original_of(made, related, ()), entries)
