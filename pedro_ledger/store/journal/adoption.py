"""Taking over users whom the app made: an account each, and a first entry that carries what the
balance was.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from time import time_ns
from typing import NamedTuple

import orjson

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.ids import account_tag
from pedro_ledger.ledger.operations import OPENING_KEY, Opening, Operation
from pedro_ledger.ledger.units import Unit
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import MIGRATION
from pedro_ledger.store.journal.commit import COMMIT_BATCH, batch_arguments

_SQL = SqlFiles("journal")
ACTOR = "adoption"
PAGE_USERS = 1000


class Balance(NamedTuple):
    """A balance that the ledger is about to take over."""

    user_id: str
    balance_id: str
    credits: int


class Adopted(NamedTuple):
    """How many users were adopted, with how many credits, and how many of them had been overdrawn
    by how much.
    """

    users: int = 0
    credits: int = 0
    overdrawn_users: int = 0
    overdrawn_credits: int = 0

    def __add__(self, other: "Adopted") -> "Adopted":  # type: ignore[override]
        return Adopted(*(a + b for a, b in zip(self, other, strict=True)))


class Adopter:
    """Adopts users; safe beside other replicas that adopt the same ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def adopt(self, user_ids: Sequence[str]) -> int:
        """Adopt those of `user_ids` that are users of the app; a user without a balance gets an
        empty one. Returns how many are users.
        """
        with unavailable():
            connection = await self._database.connect()
            try:
                async with connection.transaction():
                    await connection.execute(_SQL["make_missing_balances"], user_ids, [new_id() for _ in user_ids])
                async with connection.transaction():
                    await open_accounts(connection, user_ids)
                return await connection.fetchval(_SQL["count_accounts"], user_ids)  # type: ignore[no-any-return]
            finally:
                await connection.close(timeout=1)

    async def adopt_all(self) -> AsyncIterator[Adopted]:
        """Adopt every balance of the database, a page a transaction; yields what each page
        brought.
        """
        after = ""
        connection = await self._database.connect(timeouts=MIGRATION)
        try:
            while True:
                rows = await connection.fetch(_SQL["list_unadopted"], after, PAGE_USERS)
                if not rows:
                    return
                user_ids = [row["user_id"] for row in rows]
                async with connection.transaction():
                    balances = await open_accounts(connection, user_ids)
                after = user_ids[-1]
                overdrawn = [-balance.credits for balance in balances if balance.credits < 0]
                yield Adopted(
                    len(balances),
                    sum(max(0, balance.credits) for balance in balances),
                    len(overdrawn),
                    sum(overdrawn),
                )
        finally:
            await connection.close(timeout=1)


def opening_of(balance: Balance) -> Opening:
    """The first operation of an adopted user.

    The app could overdraw a balance; the ledger cannot, so it starts at zero and says so.
    """
    if balance.credits >= 0:
        return Opening(OPENING_KEY, ACTOR, balance.credits)
    details = orjson.dumps({"balanceBefore": balance.credits, "forgiven": -balance.credits}).decode()
    return Opening(OPENING_KEY, ACTOR, 0, details)


async def open_accounts(
    connection: Connection,
    user_ids: Sequence[str],
    first: Callable[[Balance], Operation | None] = opening_of,
) -> list[Balance]:
    """Open accounts for the balances of `user_ids` that have none, with `first` as their first
    operation. Inside a transaction.
    """
    rows = await connection.fetch(_SQL["lock_balances"], user_ids)
    balances = {row["user_id"]: Balance(*row) for row in rows}
    if not balances:
        return []
    opened = await connection.fetch(
        _SQL["open_accounts"],
        list(balances),
        [account_tag(user_id) for user_id in balances],
        [balance.balance_id for balance in balances.values()],
    )
    at_ms = time_ns() // 1_000_000
    units: list[Unit[None]] = []
    for row in opened:
        operation = first(balances[row["user_id"]])
        if operation is not None:
            unit: Unit[None] = Unit(Account.new(row["user_id"], row["plan_id"]), Facts(), at_ms)
            unit.add(None, operation)
            unit.seal()
            units.append(unit)
    if units:
        rejected = await connection.fetch(COMMIT_BATCH, *batch_arguments(units))
        assert rejected[0]["unit_no"] is None, "a new account has no other writer"
    return [balances[row["user_id"]] for row in opened]
