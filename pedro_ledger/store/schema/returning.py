"""Bringing a ledger back that `pedro-ledger leave` took out of use: the guards first, then account
by account what the app did meanwhile.

Each step is a transaction of its own that notes how far it came, so it goes on where it was
interrupted. Nobody else writes to the ledger before all is done.
"""

from datetime import datetime
from time import time_ns
from typing import NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.holds import hold_id
from pedro_ledger.ledger.operations import Adjustment, Touch, Void
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.ledger.units import Unit
from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.adoption import make_missing_balances
from pedro_ledger.store.journal.commit import COMMIT_BATCH, batch_arguments
from pedro_ledger.store.journal.rows import account_of

_SQL = SqlFiles("schema")
ACTOR = "return"
AWAY_KEY = "§away:"
"""Begins the idempotency keys of entries that say what the app did while the ledger was away."""
PAGE_ACCOUNTS = 500
PAGE_USERS = 200
"""Whose history is summed up in one transaction; a user may have thousands of rows."""


class Returned(NamedTuple):
    """What the app had done while the ledger was out of use."""

    guards: int = 0
    """Statements that put guards back."""
    adjusted: int = 0
    """Accounts whose balance the app had changed."""
    credits: int = 0
    """The sum of these changes, signed."""
    forgiven: int = 0
    """Credits that the app had taken beyond what there was."""
    uses: int = 0
    """Rows of usage that the app had written."""


class Departure(NamedTuple):
    """How a ledger that is out of use stands."""

    left_at: datetime
    statements: list[str]
    are_guards_back: bool
    after_user_id: str


async def read_departure(connection: Connection) -> Departure | None:
    """None where the ledger is in use, or there is none."""
    if not await is_away(connection):
        return None
    row = await connection.fetchrow(_SQL["read_departure"])
    assert row is not None, "the table is made together with its row"
    return Departure(*row)


async def is_away(connection: Connection) -> bool:
    """Whether the ledger is out of use. Any role may ask."""
    row = await connection.fetchrow(_SQL["read_away"])
    return row is not None and row["is_away"]


async def is_unfinished(connection: Connection) -> bool:
    """Whether a ledger that is out of use, or the sums of its history, are still to be finished."""
    row = await connection.fetchrow(_SQL["read_away"])
    return row is not None and (row["is_away"] or row["is_unsummed"])


async def put_guards_back(connection: Connection, *, lock_wait: str) -> int:
    """The guards as they were, and what cannot be compared account by account; in one transaction.

    Returns the number of statements, 0 where it was done before.
    """
    departure = await read_departure(connection)
    if departure is None or departure.are_guards_back:
        return 0
    async with connection.transaction():
        await connection.execute(
            "SELECT set_config('search_path', 'public', true), set_config('lock_timeout', $1, true)", lock_wait
        )
        await connection.execute(_SQL["open_return"])
        await connection.execute(_SQL["make_missing_users"])
        lacking = [row["user_id"] for row in await connection.fetch(_SQL["list_without_balance"])]
        await make_missing_balances(connection, lacking)
        for statement in departure.statements:
            await connection.execute(statement)
        await connection.execute(_SQL["recount_rollups"])
        await connection.execute(_SQL["forget_changed_events"])
        await connection.execute(_SQL["note_return"], "")
    return len(departure.statements)


async def follow_app(connection: Connection) -> Returned:
    """Bring every account to what the app has made of its balance, and open the ledger again."""
    departure = await read_departure(connection)
    if departure is None:
        return Returned()
    assert departure.are_guards_back, "the app can write no more"
    total = Returned()
    after = departure.after_user_id
    while True:
        async with connection.transaction():
            await connection.execute(_SQL["open_return"])
            rows = await connection.fetch(_SQL["list_returning"], after, PAGE_ACCOUNTS)
            if not rows:
                await connection.execute(_SQL["reopen_ledger"])
                return total
            after = rows[-1]["user_id"]
            total = _sum(total, await _follow(connection, departure, rows))
            await connection.execute(_SQL["note_return"], after)


async def _follow(connection: Connection, departure: Departure, rows: list[asyncpg.Record]) -> Returned:
    user_ids = [row["user_id"] for row in rows]
    at_ms = time_ns() // 1_000_000
    units: list[Unit[None]] = []
    credits = forgiven = 0
    for row in rows:
        account = account_of(orjson.loads(row["account"]))
        if row["shown"] != account.posted:
            unit, taken = _adjusted(account, row["shown"], departure, at_ms)
            units.append(unit)
            credits, forgiven = credits + taken, forgiven + max(0, taken - (row["shown"] - account.posted))
    if units:
        rejected = await connection.fetch(COMMIT_BATCH, *batch_arguments(units))
        assert rejected[0]["unit_no"] is None, "nobody else writes while the ledger is out of use"
    await connection.execute(_SQL["open_return"])
    await connection.execute(_SQL["renew_balance_ids"], user_ids)
    noted = await connection.execute(_SQL["note_usage_while_away"], user_ids)
    await connection.execute(_SQL["derive_plans_again"], user_ids)
    return Returned(0, len(units), credits, forgiven, int(noted.split()[-1]))


def _adjusted(account: Account, shown: int, departure: Departure, at_ms: int) -> tuple[Unit[None], int]:
    """A unit that brings an account to the balance that the app shows, and by how many credits.

    What is due is booked first. Credits that open holds pin are given back where the app has spent
    them. The app could take more than there was; the ledger cannot, so the rest is forgiven, and
    the entry says how much.
    """
    key = f"{AWAY_KEY}{moment_text(round(departure.left_at.timestamp() * 1000))}"
    unit: Unit[None] = Unit(account, Facts(), at_ms)
    unit.add(None, Touch(ACTOR))
    wanted = shown - account.posted
    if -wanted > unit.after.available and unit.after.open is not None:
        for hold in unit.after.open.holds:
            unit.add(None, Void(f"{key}:{hold.seq}", ACTOR, hold_id(account, hold), hold.seq))
    credits = max(wanted, -unit.after.available)
    details: dict[str, object] = {
        "reason": "changed by the app while the ledger was out of use",
        "balanceBefore": account.posted,
        "balanceOfTheApp": shown,
    }
    if credits != wanted:
        details["forgiven"] = credits - wanted
    unit.add(None, Adjustment(key, ACTOR, credits, "adjustment", orjson.dumps(details).decode()))
    unit.seal()
    return unit, credits


def _sum(one: Returned, other: Returned) -> Returned:
    return Returned(*(a + b for a, b in zip(one, other, strict=True)))


async def sum_history(connection: Connection) -> int:
    """Sum up for the reports what is not summed up yet of the app's history, some users at a time.

    Holds no table. Returns the number of rows.
    """
    row = await connection.fetchrow(_SQL["read_away"])
    if row is None or not row["is_unsummed"]:
        return 0
    rows = 0
    while True:
        async with connection.transaction():
            page = await connection.fetchrow(_SQL["sum_history"], PAGE_USERS)
            assert page is not None, "an aggregate always has one row"
            if page["after_user_id"] is None:
                await connection.execute("DROP TABLE pedro_ledger.history_summing")
                break
            rows += page["rows"]
    await connection.execute("ANALYZE pedro_ledger.usage_by_user_span, pedro_ledger.usage_by_user")
    return rows
