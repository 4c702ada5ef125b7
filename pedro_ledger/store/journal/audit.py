"""Reading a whole ledger to check it: a share of the users at a time, all shares in one
snapshot.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, FastUserAudit, Finding, UserAudit
from pedro_ledger.ledger.open_items import parse
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import JOB

_SQL = SqlFiles("journal")
FETCH_ROWS = 2000
OTHER_USAGE = "the app's UsageHistory does not show the entry as it is"
OTHER_PLAN = "the account is on plan {}, its subscription events say {}"
INVENTED_USAGE = "the app's UsageHistory has a row that no entry stands behind"


class Share(NamedTuple):
    """Users after `after` up to and with `upto` in the database's own order, as of a snapshot;
    None: no such bound.
    """

    after: str | None
    upto: str | None
    snapshot: str


class ShareAudit(NamedTuple):
    """What was checked, and the first problem of each user, in order of user."""

    users: int
    entries: int
    problems: list[Finding]


class Ledger(NamedTuple):
    """A ledger as of one moment, dealt into shares."""

    shares: list[Share]
    snapshot: str
    connection: Connection
    """In the transaction that holds the snapshot."""


@asynccontextmanager
async def dealt(database: Database, count: int) -> AsyncIterator[Ledger]:
    """Shares of about as many users; their snapshot lives inside the context."""
    connection = await database.connect(timeouts=JOB)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            ends: list[str | None] = [row["last"] for row in await connection.fetch(_SQL["split_users"], count)]
            ends[-1:] = [None]
            shares = [Share(after, upto, snapshot) for after, upto in zip([None, *ends], ends, strict=False)]
            yield Ledger(shares, snapshot, connection)
    finally:
        connection.terminate()


@asynccontextmanager
async def in_snapshot(database: Database, snapshot: str) -> AsyncIterator[Connection]:
    """A connection that sees the same moment."""
    connection = await database.connect(timeouts=JOB)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            await connection.execute(_SQL["prepare_session"])
            yield connection
    finally:
        connection.terminate()


async def audit_share(database: Database, share: Share) -> ShareAudit:
    """Check every user of a share."""
    async with in_snapshot(database, share.snapshot) as connection:
        rows = await connection.fetch(_SQL["list_accounts"], share.after, share.upto)
        snapshots = {row["user_id"]: _snapshot_of(row) for row in rows}
        users = len(snapshots)
        entries, suspects = await _glance(connection, share, snapshots)
        problems = [await _examine(connection, user_id, snapshot) for user_id, snapshot in suspects.items()]
        found = [problem for problem in problems if problem is not None]
        for row in await connection.fetch(_SQL["compare_usage"], share.after, share.upto):
            what = INVENTED_USAGE if row["is_invented"] else OTHER_USAGE
            found.append(Finding(row["user_id"], row["seq"], what))
        for row in await connection.fetch(_SQL["compare_plans"], share.after, share.upto):
            what = OTHER_PLAN.format(row["plan_id"] or "none", row["said_plan_id"] or "none")
            found.append(Finding(row["user_id"], None, what))
        return ShareAudit(users, entries, sorted(found, key=lambda each: (each.user_id, each.seq is None, each.seq)))


def _snapshot_of(row: asyncpg.Record) -> AccountSnapshot:
    user_id, seq, posted, held, head, shown, open_items = row
    return AccountSnapshot(user_id, seq, posted, held, head, shown, parse(orjson.loads(open_items)))


async def _glance(
    connection: Connection, share: Share, snapshots: dict[str, AccountSnapshot]
) -> tuple[int, dict[str, AccountSnapshot | None]]:
    """How many entries there are, and the users that need a closer look.

    Takes from `snapshots` whom it meets.
    """
    suspects: dict[str, AccountSnapshot | None] = {}
    cursor = await connection.cursor(_SQL["list_forms"], share.after, share.upto)
    entries = 0
    fast: FastUserAudit | None = None

    def close() -> None:
        if fast is not None:
            snapshot = snapshots.pop(fast.user_id, None)
            if not fast.agrees(snapshot):
                suspects[fast.user_id] = snapshot

    while rows := await cursor.fetch(FETCH_ROWS):
        entries += len(rows)
        for user_id, *said in rows:
            if fast is None or fast.user_id != user_id:
                close()
                fast = FastUserAudit(user_id)
            fast.follow(*said)
    close()
    suspects |= {user_id: each for user_id, each in snapshots.items() if not FastUserAudit(user_id).agrees(each)}
    return entries, suspects


async def _examine(connection: Connection, user_id: str, snapshot: AccountSnapshot | None) -> Finding | None:
    """The first thing that is wrong with a user's ledger, by the rules themselves."""
    meters = () if snapshot is None or snapshot.open is None else snapshot.open.meters
    audit = UserAudit(user_id, meters)
    cursor = await connection.cursor(_SQL["list_entries"], user_id)
    while rows := await cursor.fetch(FETCH_ROWS):
        for row in rows:
            audit.follow(Entry(*row))
    return audit.close(snapshot)
