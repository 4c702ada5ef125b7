"""Taking over users whom the app made: an account each, and a first entry that carries what the
balance was.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from time import time_ns
from typing import NamedTuple

import asyncpg
import orjson
import structlog

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.errors import Conflict, LedgerError, NotServed
from pedro_ledger.ledger.ids import account_tag
from pedro_ledger.ledger.operations import OPENING_KEY, Opening, Operation
from pedro_ledger.ledger.units import Unit
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import Follows, follows, in_the_way, serving_users
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.postgres.kept_connections import KeptConnections
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import MIGRATION, Timeouts
from pedro_ledger.postgres.write_gate import busy
from pedro_ledger.store.journal.commit import COMMIT_BATCH, batch_arguments

_SQL = SqlFiles("journal")
ACTOR = "adoption"
PAGE_USERS = 1000
ADOPTING = Timeouts(lock_s=0.1, statement_s=2, idle_in_transaction_s=2)
"""Others are adopted in the same transaction: who waits for a lock gives way, and is tried again
alone.
"""
log = structlog.get_logger(__name__)


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
    left_out: int = 0
    """Users who cannot be adopted now: the app has locked their balance, or something of its schema
    is in the way.
    """

    def __add__(self, other: "Adopted") -> "Adopted":  # type: ignore[override]
        return Adopted(*(a + b for a, b in zip(self, other, strict=True)))


class Adopter:
    """Adopts users; safe beside other replicas that adopt the same ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connections = KeptConnections(database, {}, ADOPTING)

    async def adopt(self, user_ids: Sequence[str]) -> dict[str, LedgerError]:
        """Adopt those of `user_ids` that are users of the app; a user without a balance gets an
        empty one.

        Returns what those are told who were not adopted: `Busy` where somebody else has locked a
        row. Raises `Unavailable` when the database cannot be asked, and `NotServed` when one of the
        users is to blame; the others may have been adopted then. Nothing waits for longer than
        `ADOPTING` says.
        """
        with serving_users():
            async with self._connections.borrowed() as connection:
                try:
                    await _open_free_accounts(connection, user_ids)
                    if left := await connection.fetch(_SQL["list_unopened"], user_ids):
                        # Apart from the others: these wait for whoever makes their balances now.
                        bare = [row["user_id"] for row in left if not row["has_balance"]]
                        await _open_free_accounts(connection, bare, make_balances=True)
                        left = await connection.fetch(_SQL["list_unopened"], [row["user_id"] for row in left])
                except asyncpg.LockNotAvailableError as error:
                    raise NotServed(busy()) from error
        return {row["user_id"]: _why_unopened(row) for row in left}

    async def adopt_all(self) -> AsyncIterator[Adopted]:
        """Adopt every balance of the database, a page a transaction; yields what each page brought.

        Who cannot be adopted now is left out, and tried again on the first touch.
        """
        after = ""
        connection = await self._database.connect(timeouts=MIGRATION)
        try:
            while rows := await connection.fetch(_SQL["list_unadopted"], after, PAGE_USERS):
                user_ids = [row["user_id"] for row in rows]
                after = user_ids[-1]
                yield await _adopt_page(connection, user_ids)
        finally:
            await connection.close(timeout=1)

    def close(self) -> None:
        """End the idle connections."""
        self._connections.close()


async def _open_free_accounts(
    connection: Connection, user_ids: Sequence[str], *, make_balances: bool = False
) -> list[Balance]:
    """In a transaction, but not asyncpg's own: its rollback waits for a server that fell silent."""
    if not user_ids:
        return []
    await connection.execute("BEGIN")
    if make_balances:
        await make_missing_balances(connection, user_ids)
    opened = await open_accounts(connection, user_ids, lock="lock_free_balances")
    await connection.execute("COMMIT")
    return opened


def _why_unopened(row: asyncpg.Record) -> LedgerError:
    if row["has_balance"] or row["carrier_id"] is None:
        return busy()
    return Conflict(
        f"The balance of the user {row['carrier_id']} carries the Clerk id of the user {row['user_id']}: "
        'set its "clerkUserId" to the Clerk id of its own user.',
        code="clerkid_taken",
        field="clerkId",
    )


async def _adopt_page(connection: Connection, user_ids: Sequence[str]) -> Adopted:
    """Adopt those who can be; who cannot is found by halving."""
    try:
        async with connection.transaction():
            balances = await open_accounts(connection, user_ids, lock="lock_free_balances")
    except asyncpg.PostgresError as error:
        if follows(error) is Follows.SERVER:
            raise
        if len(user_ids) > 1:
            middle = len(user_ids) // 2
            return await _adopt_page(connection, user_ids[:middle]) + await _adopt_page(connection, user_ids[middle:])
        log.error("user_left_out", user=user_ids[0], reason=in_the_way(error))
        return Adopted(left_out=1)
    overdrawn = [-balance.credits for balance in balances if balance.credits < 0]
    return Adopted(
        len(balances),
        sum(max(0, balance.credits) for balance in balances),
        len(overdrawn),
        sum(overdrawn),
        len(user_ids) - len(balances),
    )


async def make_missing_balances(connection: Connection, user_ids: Sequence[str]) -> None:
    """An empty balance for each of the users that has none."""
    await connection.execute(_SQL["make_missing_balances"], user_ids, [new_id() for _ in user_ids])


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
    *,
    lock: str = "lock_balances",
) -> list[Balance]:
    """Open accounts for the balances of `user_ids` that have none, with `first` as their first
    operation. Inside a transaction.

    `lock` names the query that locks them: it waits for those that somebody else has locked, or
    leaves them out.
    """
    rows = await connection.fetch(_SQL[lock], user_ids)
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
