"""Reading a whole ledger to check it: a share of the users at a time, all shares in one snapshot."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.audit import Problem, Standing, UserAudit
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.store.database import Connection, Database
from pedro_ledger.store.sqlfiles import SqlFiles

_SQL = SqlFiles("audit")
FETCH_ROWS = 2000
LAST_USER = "\U0010ffff"


class Share(NamedTuple):
    """Users after `after` up to and with `upto`, as of a snapshot."""

    after: str
    upto: str
    snapshot: str


class ShareReport(NamedTuple):
    """What was checked, and the first problems in order of user."""

    users: int
    entries: int
    problems: list[Problem]


@asynccontextmanager
async def shares_of(database: Database, count: int) -> AsyncIterator[list[Share]]:
    """Shares of about as many users; their snapshot lives inside the context."""
    connection = await database.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            ends = [row["last"] for row in await connection.fetch(_SQL["split_users"], count)]
            ends[-1:] = [LAST_USER]
            yield [Share(after, upto, snapshot) for after, upto in zip(["", *ends], ends, strict=False)]
    finally:
        connection.terminate()


async def audit_share(
    database: Database, share: Share, on_progress: Callable[[int], None] | None = None
) -> ShareReport:
    """Check every user of a share. `on_progress` is told how many more entries were read."""
    connection = await database.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{share.snapshot}'")
            await connection.execute(_SQL["prepare_session"])
            users, entries, problems = await _follow(connection, share, on_progress)
            for name, what in (
                ("find_usage_mismatch", "the app's UsageHistory does not show the entry as it is"),
                ("find_invented_usage", "the app's UsageHistory has a row that no entry stands behind"),
            ):
                row = await connection.fetchrow(_SQL[name], share.after, share.upto)
                if row is not None:
                    problems.append(Problem(row["user_id"], row.get("seq"), what))
            return ShareReport(
                users, entries, sorted(problems, key=lambda found: (found.user_id, found.seq is None, found.seq))
            )
    finally:
        connection.terminate()


async def _follow(
    connection: Connection, share: Share, on_progress: Callable[[int], None] | None
) -> tuple[int, int, list[Problem]]:
    accounts = _Accounts(await connection.cursor(_SQL["list_accounts"], share.after, share.upto))
    cursor = await connection.cursor(_SQL["list_entries"], share.after, share.upto)
    problems: list[Problem] = []
    audit: UserAudit | None = None
    entries = 0
    while rows := await cursor.fetch(FETCH_ROWS):
        for row in rows:
            user_id = row[0]
            if audit is None or audit.user_id != user_id:
                if audit is not None:
                    problems += await accounts.close(audit)
                audit = UserAudit(user_id)
            audit.follow(Entry(*row[1:]))
        entries += len(rows)
        if on_progress is not None:
            on_progress(len(rows))
    if audit is not None:
        problems += await accounts.close(audit)
    problems += await accounts.close(None)
    return accounts.count, entries, problems


class _Accounts:
    """The accounts of a share, in step with its entries; both come in order of user."""

    def __init__(self, cursor: "asyncpg.cursor.Cursor[asyncpg.Record]") -> None:
        self._cursor = cursor
        self._rows: list[asyncpg.Record] = []
        self._at = 0
        self.count = 0

    async def close(self, audit: UserAudit | None) -> list[Problem]:
        """Close a user's audit with its account; and accounts before it, which have no entries. None: all that are left."""
        problems: list[Problem] = []
        while (standing := await self._peek()) is not None:
            if audit is not None and standing.user_id > audit.user_id:
                break
            self._at += 1
            self.count += 1
            mine = audit is not None and standing.user_id == audit.user_id
            found = (audit if mine and audit is not None else UserAudit(standing.user_id)).close(standing)
            problems += [found] if found is not None else []
            if mine:
                return problems
        if audit is not None and (found := audit.close(None)) is not None:
            problems.append(found)
        return problems

    async def _peek(self) -> Standing | None:
        if self._at == len(self._rows):
            self._rows, self._at = await self._cursor.fetch(FETCH_ROWS), 0
        return Standing(*self._rows[self._at]) if self._rows else None
