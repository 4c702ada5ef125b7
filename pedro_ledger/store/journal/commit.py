"""Writing units: one statement, one round trip, one transaction a batch; and finding out what
became of a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, Unavailable
from pedro_ledger.ledger.open_items import NEVER, render
from pedro_ledger.ledger.units import APPLIED, BUSY, Outcome, Refused, Replayed, Stale, Stored, Unit
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import CONNECTION_FAILURES, commit_failure
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import HOT_SETTINGS, SERVING
from pedro_ledger.store.journal.lock_holders import LockHolderLog
from pedro_ledger.store.journal.rows import account_of, stored_entry_of, stored_refusal_of

_SQL = SqlFiles("journal")
COMMIT_BATCH = _SQL["commit_batch"]
_LOCK = _SQL["lock_accounts"]
_FIND = _SQL["find_answers"]
_FIND_LOCKED = _SQL["find_locked"]

LOCK_TIMEOUT_S = 0.25
"""A commit waits for a lock so long at most: longer than another replica's commit takes, and
shorter than `deadlock_timeout`, so that in a circle of waits it is the daemon who gives way, and
tries again."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AnyUnit = Unit[Any]


class BatchWriter:
    """Commits batches over connections of its own, one for each lane, opened when needed and
    dropped when they fail.
    """

    def __init__(self, database: Database, *, commit_timeout_s: float) -> None:
        self._database = database
        self._timeout_s = commit_timeout_s
        self._idle: list[_Channel] = []
        self._holders = LockHolderLog(database)

    async def commit(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        """Write a batch. Raises `NotCommitted` or `OutcomeUnknown`; see `UnitStore`."""
        channel = self._idle.pop() if self._idle else await self._open()
        try:
            rejected = await channel.commit(batch_arguments(units), self._timeout_s)
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            raise await self._failure_of(error, channel, units) from error
        except BaseException:
            channel.connection.terminate()
            raise
        self._idle.append(channel)
        if any(row["is_locked"] for row in rejected):
            self._holders.note(units[row["unit_no"] - 1].user_id for row in rejected if row["is_locked"])
        return outcomes_of(units, rejected)

    async def find_locked(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users of whom somebody else has locked a row now. Raises `Unavailable`."""
        try:
            channel = self._idle.pop() if self._idle else await self._open()
        except NotCommitted as error:
            raise Unavailable("The database cannot be asked now.", reason=str(error)) from error
        try:
            locked = await channel.find_locked(user_ids, self._timeout_s)
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            channel.connection.terminate()
            raise Unavailable("The database cannot be asked now.", reason=type(error).__name__) from error
        except BaseException:
            channel.connection.terminate()
            raise
        self._idle.append(channel)
        return locked

    async def settle(self, units: Sequence[AnyUnit]) -> list[Outcome | None]:
        """Find out what became of a batch, on a fresh connection and under its accounts' row locks.

        A locked account is left open: whatever of the batch is still under way in the server has
        locked it. What arrives later finds the accounts at another revision, or is what the
        caller's own retry replays.
        """
        try:
            connection = await self._database.connect()
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            raise OutcomeUnknown("the database cannot be reached") from error
        try:
            await connection.execute("BEGIN", timeout=self._timeout_s)
            rows = await connection.fetch(_LOCK, [unit.user_id for unit in units], timeout=self._timeout_s)
            accounts = {account.user_id: account for account in (account_of(orjson.loads(row[0])) for row in rows)}
            keys = [
                (unit.user_id, decided.key) for unit in units if unit.user_id in accounts for _, decided in unit.decided
            ]
            answers = await connection.fetch(
                _FIND, [user for user, _ in keys], [key for _, key in keys], timeout=self._timeout_s
            )
            await connection.execute("COMMIT", timeout=self._timeout_s)
            await connection.close(timeout=1)
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            raise OutcomeUnknown("the database did not answer") from error
        finally:
            if not connection.is_closed():
                connection.terminate()
        return settled_outcomes(units, accounts, answers)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._holders.close()
        while self._idle:
            connection = self._idle.pop().connection
            try:
                await connection.close(timeout=1)
            except (asyncpg.PostgresError, *CONNECTION_FAILURES):
                connection.terminate()

    async def _failure_of(
        self, error: BaseException, channel: "_Channel", units: Sequence[AnyUnit]
    ) -> NotCommitted | OutcomeUnknown:
        """What a failed commit says.

        Its connection is kept where it is certain to stand outside a transaction.
        """
        failure = commit_failure(error)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            # No primary any more: what is opened next looks for the one that is.
            for each in (channel, *self._idle):
                each.connection.terminate()
            self._idle.clear()
            return failure
        try:
            if isinstance(failure, NotCommitted) and await channel.is_rolled_back(self._timeout_s):
                if isinstance(error, asyncpg.LockNotAvailableError):
                    failure.locked_users = await channel.find_locked([unit.user_id for unit in units], self._timeout_s)
                    if failure.locked_users:
                        self._holders.note(failure.locked_users)
                self._idle.append(channel)
                return failure
        except (asyncpg.PostgresError, *CONNECTION_FAILURES):
            pass
        except BaseException:
            channel.connection.terminate()
            raise
        channel.connection.terminate()
        return failure

    async def _open(self) -> "_Channel":
        try:
            return await _Channel.open(self._database, self._timeout_s)
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            failure = commit_failure(error)
            if isinstance(failure, OutcomeUnknown):  # nothing was sent yet
                failure = NotCommitted(f"no connection ({type(error).__name__})", poisoned=False)
            raise failure from error


class _Channel:
    """A connection with the commit prepared.

    Through a transaction pooler nothing stays prepared, so it sends the text.
    """

    def __init__(self, connection: Connection, statement: Any) -> None:
        self.connection = connection
        self._statement = statement

    @classmethod
    async def open(cls, database: Database, timeout_s: float) -> "_Channel":
        timeouts = SERVING._replace(lock_s=LOCK_TIMEOUT_S, statement_s=timeout_s)
        connection = await database.connect(HOT_SETTINGS, timeouts)
        try:
            statement = None if database.url.pgbouncer else await connection.prepare(COMMIT_BATCH, timeout=timeout_s)
        except BaseException:
            connection.terminate()
            raise
        return cls(connection, statement)

    async def commit(self, arguments: Sequence[Any], timeout_s: float) -> list[asyncpg.Record]:
        if self._statement is not None:
            return await self._statement.fetch(*arguments, timeout=timeout_s)  # type: ignore[no-any-return]
        await self.connection.execute("BEGIN", timeout=timeout_s)
        rejected = await self.connection.fetch(COMMIT_BATCH, *arguments, timeout=timeout_s)
        await self.connection.execute("COMMIT", timeout=timeout_s)
        return rejected

    async def find_locked(self, user_ids: Sequence[str], timeout_s: float) -> frozenset[str]:
        await self.connection.execute("BEGIN", timeout=timeout_s)
        rows = await self.connection.fetch(_FIND_LOCKED, user_ids, timeout=timeout_s)
        await self.connection.execute("ROLLBACK", timeout=timeout_s)
        return frozenset(row["user_id"] for row in rows)

    async def is_rolled_back(self, timeout_s: float) -> bool:
        """Whether it stands after a failed commit where it stood before."""
        if self.connection.is_closed():
            return False
        if self._statement is None:
            await self.connection.execute("ROLLBACK", timeout=timeout_s)
        return True


def batch_arguments(units: Sequence[AnyUnit]) -> list[Any]:
    """The parameters of `commit_batch.sql`: columns of the units, of their entries, of their
    refusals, and the moment.

    Columns travel as texts: asyncpg would ask each element of an array whether it is an array
    itself, which costs a twelfth of a deduct. Raises `NotCommitted` for a text that holds the
    character between two of them.
    """
    assert all(unit.at_ms == units[0].at_ms for unit in units), "a batch is decided at one moment"
    entries: list[tuple[Any, ...]] = []
    refusals: list[tuple[Any, ...]] = []
    opened: list[tuple[Any, ...]] = []
    heads = []
    for no, unit in enumerate(units, 1):
        after = unit.after
        heads.append(
            (after.user_id, unit.before.revision, after.revision, after.seq, after.posted, after.held, after.head)
        )
        if after.open is not unit.before.open or unit.is_due_exact:
            due_ms = None if after.due_ms == NEVER else after.due_ms
            opened.append((no, render(after.open), due_ms, unit.is_due_exact))
        entries += [(no, *entry) for entry in unit.booked]
        for _, decided in unit.decided:
            if isinstance(decided, Entry):
                entries.append((no, *decided))
            elif isinstance(decided, Refused) and decided.key:
                refusals.append(_refusal_row(no, decided))
    extras = [
        (number, entry[_EXPIRES], entry[_PRIORITY], entry[_EFFECTS])
        for number, entry in enumerate(entries, 1)
        if entry[_EFFECTS] is not None or entry[_EXPIRES] is not None or entry[_PRIORITY] is not None
    ]
    return [
        *_columns(heads, _UNIT_COLUMNS),
        *_columns(entries, _ENTRY_COLUMNS),
        *_columns(refusals, _REFUSAL_COLUMNS),
        EPOCH + timedelta(milliseconds=units[0].at_ms if units else 0),
        *_columns(extras, _EXTRA_COLUMNS),
        *_columns(opened, _OPENED_COLUMNS),
    ]


async def try_committing(connection: Connection) -> None:
    """Commit an empty batch, which changes nothing and fails where no batch could be committed."""
    await connection.fetch(COMMIT_BATCH, *batch_arguments(()))


def _texts(column: Sequence[str | None]) -> str:
    if None in column:
        column = [_NULL if text is None else text for text in column]
    joined = _BETWEEN.join(column)  # type: ignore[arg-type]
    if joined.count(_BETWEEN) != len(column) - 1:
        raise NotCommitted("a text holds the character that separates texts", poisoned=True)
    return joined


def _numbers(column: Sequence[int | bool | None]) -> str:
    return "{" + ",".join(["NULL" if number is None else str(number) for number in column]) + "}"


_BETWEEN, _NULL = "\x01", "\x02"
_Encoder = Callable[[Any], str | bytes]
_UNIT_COLUMNS: tuple[_Encoder, ...] = (_texts, _numbers, _numbers, _numbers, _numbers, _numbers, b"".join)
_REFUSAL_COLUMNS: tuple[_Encoder, ...] = (_numbers, _texts, b"".join, _texts, _texts, _numbers)
_ENTRY_COLUMNS: tuple[_Encoder | None, ...] = (
    _numbers,  # the unit's number, then the fields of an entry in their order; None is not sent
    _numbers, _texts, _texts, _texts, _numbers, _numbers, _numbers, _numbers, _texts, None, None, _texts, b"".join, _texts,
    _texts, _texts, None, b"".join, None,
)  # fmt: skip
_EXTRA_COLUMNS: tuple[_Encoder, ...] = (_numbers, _numbers, _numbers, _texts)
_OPENED_COLUMNS: tuple[_Encoder, ...] = (_numbers, _texts, _numbers, _numbers)
_EXPIRES, _PRIORITY, _EFFECTS = (1 + Entry._fields.index(name) for name in ("expires_at_ms", "priority", "effects"))


def _columns(rows: list[tuple[Any, ...]], encoders: Sequence[_Encoder | None]) -> list[str | bytes]:
    columns: Sequence[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(encoders)
    return [
        encode(column) if rows else _EMPTY[encode]
        for encode, column in zip(encoders, columns, strict=True)
        if encode is not None
    ]


_EMPTY: dict[_Encoder, str | bytes] = {_texts: "", _numbers: "{}", _UNIT_COLUMNS[-1]: b""}


def _refusal_row(no: int, refused: Refused) -> tuple[Any, ...]:
    refusal = refused.refusal
    facts = orjson.dumps({"detail": refusal.detail, **refusal.facts}).decode()
    return (no, refused.key, refused.fingerprint, refusal.code, facts, refusal.remembered)


def outcomes_of(units: Sequence[AnyUnit], rejected: Sequence[asyncpg.Record]) -> list[Outcome]:
    """An outcome per unit from the rows that `commit_batch.sql` returned: units without a row were
    applied.
    """
    outcomes: list[Outcome] = [APPLIED] * len(units)
    for row in rejected:
        if row["unit_no"] is None:
            continue
        place = row["unit_no"] - 1
        outcome = outcomes[place]
        if row["is_locked"] and row["entry"] is None and row["refusal"] is None:
            outcomes[place] = BUSY
            continue
        if row["account"] is None:
            raise NotCommitted(f"account {units[place].user_id} has vanished", poisoned=True)
        if not isinstance(outcome, Replayed):
            account = account_of(orjson.loads(row["account"]))
            outcome = Replayed(account, {}) if row["entry"] or row["refusal"] else Stale(account)
            outcomes[place] = outcome
        if isinstance(outcome, Replayed):
            _note(outcome.answers, row["entry"], row["refusal"])
    return outcomes


def settled_outcomes(
    units: Sequence[AnyUnit], accounts: Mapping[str, Account], found: Sequence[asyncpg.Record]
) -> list[Outcome | None]:
    """An outcome per unit from what the database holds now; None for a unit whose account is not
    among `accounts`.
    """
    answers_by_user: dict[str, dict[str, Stored]] = {unit.user_id: {} for unit in units}
    for row in found:
        _note(answers_by_user[row["user_id"]], row["entry"], row["refusal"])
    return [
        unit.settled(accounts[unit.user_id], answers_by_user[unit.user_id]) if unit.user_id in accounts else None
        for unit in units
    ]


def _note(answers: dict[str, Stored], entry: str | None, refusal: str | None) -> None:
    if entry is not None:
        key, stored = stored_entry_of(orjson.loads(entry))
        answers[key] = stored
    elif refusal is not None:
        key, stored = stored_refusal_of(orjson.loads(refusal))
        answers[key] = stored
