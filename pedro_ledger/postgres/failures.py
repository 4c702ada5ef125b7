"""How PostgreSQL's errors are read: one table from SQLSTATE to what follows, for commits and for
every other query.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from enum import Enum
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.errors import (
    LedgerError,
    NotCommitted,
    NotServed,
    OutcomeUnknown,
    SchemaChanged,
    Unavailable,
)

CONNECTION_FAILURES = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    ConnectionError,
    OSError,
    TimeoutError,
)
CANNOT_BE_ASKED = "The database cannot be asked now. Try again shortly."


class Follows(Enum):
    """What follows from an error of the server."""

    REJECTED = "the values of one operation: its neighbours are committed, it gets 422 `operation_rejected`"
    SCHEMA = (
        "the app's tables, rights or triggers: whom it concerns gets 503 `schema_changed`, the neighbours are committed"
    )
    DAMAGE = (
        "rows that cannot be read or written: whom it concerns gets 503 `unavailable`, the neighbours are committed"
    )
    SERVER = "the server as a whole: all wait and are tried again; unready; 503 `unavailable` at the deadline"


class Row(NamedTuple):
    """What follows from an SQLSTATE, or from a class of them where it has two characters."""

    sqlstate: str
    what: str
    follows: Follows


TABLE = (
    Row("03", "SQL statement not yet complete", Follows.SERVER),
    Row("08", "connection exception", Follows.SERVER),
    Row("09", "triggered action exception", Follows.SCHEMA),
    Row("0A", "feature not supported", Follows.SCHEMA),
    Row("0B", "invalid transaction initiation", Follows.SERVER),
    Row("0F", "locator exception", Follows.SCHEMA),
    Row("0L", "invalid grantor", Follows.SCHEMA),
    Row("0P", "invalid role specification", Follows.SCHEMA),
    Row("0Z", "diagnostics exception", Follows.SCHEMA),
    Row("10", "XQuery error", Follows.REJECTED),
    Row("20", "case not found, in a trigger", Follows.SCHEMA),
    Row("21", "cardinality violation", Follows.SCHEMA),
    Row("22", "data exception", Follows.REJECTED),
    Row("23", "integrity constraint of the app's that no caller can meet", Follows.SCHEMA),
    Row("23502", "a required column that nobody fills; see CALLERS_COLUMNS", Follows.SCHEMA),
    Row("23514", "check of the caller's values", Follows.REJECTED),
    Row("24", "invalid cursor state, in a trigger", Follows.SCHEMA),
    Row("25", "invalid transaction state; 25006: read-only", Follows.SERVER),
    Row("26", "invalid SQL statement name: a pooler lost it", Follows.SERVER),
    Row("27", "a trigger changes the row that is being changed", Follows.SCHEMA),
    Row("28", "invalid authorization", Follows.SERVER),
    Row("2B", "dependent privilege descriptors still exist", Follows.SCHEMA),
    Row("2D", "invalid transaction termination, in a trigger", Follows.SCHEMA),
    Row("2F", "SQL routine exception", Follows.SCHEMA),
    Row("34", "invalid cursor name, in a trigger", Follows.SCHEMA),
    Row("38", "external routine exception", Follows.SCHEMA),
    Row("39", "external routine invocation exception", Follows.SCHEMA),
    Row("3B", "savepoint exception", Follows.SCHEMA),
    Row("3D", "invalid catalog name: there is no such database", Follows.SERVER),
    Row("3F", "invalid schema name", Follows.SCHEMA),
    Row("40", "transaction rollback: deadlock, serialization", Follows.SERVER),
    Row("42", "a table, column, type, function or right is missing", Follows.SCHEMA),
    Row("44", "WITH CHECK OPTION violation", Follows.SCHEMA),
    Row("53", "insufficient resources: disk, memory, connections", Follows.SERVER),
    Row("54", "program limit exceeded: a value too large for an index", Follows.REJECTED),
    Row("55", "object not in the state that is needed; 55P03: a lock", Follows.SERVER),
    Row("57", "operator intervention: cancelled, shutting down, starting", Follows.SERVER),
    Row("58", "system error: a file cannot be read", Follows.DAMAGE),
    Row("72", "snapshot too old", Follows.SERVER),
    Row("F0", "configuration file error", Follows.SERVER),
    Row("HV", "foreign data wrapper error", Follows.SCHEMA),
    Row("P0", "PL/pgSQL error; P0004: a row that must move did not", Follows.SCHEMA),
    Row("P0001", "the app's own trigger says no to these values", Follows.REJECTED),
    Row("XX", "internal error; a damaged page or index", Follows.DAMAGE),
)
"""Where a row names a whole SQLSTATE, it goes before its class.

What stands in no row is of the app's own triggers.
"""

CALLERS_COLUMNS = frozenset({("UsageHistory", "details")})
"""Columns that are NULL unless the caller fills them.

Where the app requires one, it is for the caller to send it.
"""

_FOLLOWS = {row.sqlstate: row.follows for row in TABLE}
_NAMES_NO_VALUES = frozenset({"3F", "42"})
"""Classes whose messages name things of the schema alone; others may quote what a caller sent."""


def follows(error: asyncpg.PostgresError) -> Follows:
    """What follows from an error of the server."""
    sqlstate = error.sqlstate or "XX000"
    if sqlstate == "23502" and (error.table_name, error.column_name) in CALLERS_COLUMNS:
        return Follows.REJECTED
    return _FOLLOWS.get(sqlstate) or _FOLLOWS.get(sqlstate[:2], Follows.REJECTED)


def commit_failure(error: BaseException) -> NotCommitted | OutcomeUnknown:
    """What an exception out of a commit says: certainly nothing was written, or nobody knows.

    Only an ERROR of the statement itself is certain: the server aborts the transaction with it and
    says so. A lost connection, a timeout, or a server that ends (FATAL) may have come after the
    commit record reached the disk.
    """
    if not isinstance(error, asyncpg.PostgresError) or getattr(error, "severity_en", None) != "ERROR":
        return OutcomeUnknown(f"{type(error).__name__}: the connection failed at or after the commit")
    told = f"{type(error).__name__} ({error.sqlstate})"
    match follows(error):
        case Follows.SERVER:
            return NotCommitted(told, poisoned=False)
        case Follows.REJECTED:
            return NotCommitted(told, poisoned=True)
        case Follows.SCHEMA:
            return NotCommitted(
                told, poisoned=not _is_everybodys(error), error=schema_changed(error, outcome="not_applied")
            )
        case Follows.DAMAGE:
            return NotCommitted(told, poisoned=True, error=_damaged(error))


def _is_everybodys(error: asyncpg.PostgresError) -> bool:
    """Whether the statement itself cannot run, whatever is in it; with a context, something that it
    called cannot.
    """
    return (error.sqlstate or "")[:2] in _NAMES_NO_VALUES and not error.context


def _damaged(error: asyncpg.PostgresError) -> Unavailable:
    """The error of whoever has rows that cannot be read or written."""
    told = f"{type(error).__name__} ({error.sqlstate})"
    return Unavailable(
        f"The operation was not applied: the database reports {told}.", reason=told, outcome="not_applied"
    )


def schema_changed(error: asyncpg.PostgresError, **facts: str) -> SchemaChanged:
    """The error that names what of the app's schema is in the way, as far as the server says it."""
    return SchemaChanged(
        f"The app's database schema is in the way: {in_the_way(error)}. Once it is mended, the same request goes through.",
        **_named(error),
        **facts,
    )


def in_the_way(error: asyncpg.PostgresError) -> str:
    """What of the schema an error names, in words that quote no values."""
    named, sqlstate = _named(error), error.sqlstate or ""
    if "column" in named and "table" in named:
        what = f'"{named["table"]}" requires the column "{named["column"]}"'
    elif sqlstate[:2] in _NAMES_NO_VALUES:
        what = str(error).partition("\n")[0]
    elif "table" in named:
        what = " ".join(f'{name} "{value}"' for name, value in named.items())
    else:
        what = "a rule or a trigger of the app's tables"
    return f"{what} ({type(error).__name__}, {sqlstate})"


def _named(error: asyncpg.PostgresError) -> dict[str, str]:
    named = {"table": error.table_name, "column": error.column_name, "constraint": error.constraint_name}
    return {name: value for name, value in named.items() if value}


class unavailable:  # noqa: N801 - reads as a phrase: `with unavailable():`
    """Turns what a failing server raises into `Unavailable`, and what a changed schema raises into
    `SchemaChanged`.

    Violated constraints stay what they are: whoever asked for the row knows what they mean.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, Unavailable):
            return
        if (told := failure_of(error)) is not None:
            raise told from error


class serving_users:  # noqa: N801 - reads as a phrase: `with serving_users():`
    """Turns what a query about several users raises into `NotServed` where the database refuses it,
    else into `Unavailable`.

    None of its values come from a caller: whatever is refused, the app's schema is in the way.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, asyncpg.PostgresError) and not isinstance(error, CONNECTION_FAILURES):
            match follows(error):
                case Follows.SCHEMA | Follows.REJECTED:
                    told = schema_changed(error, outcome="not_applied")
                    raise NotServed(told, is_everybodys=_is_everybodys(error)) from error
                case Follows.DAMAGE:
                    raise NotServed(_damaged(error)) from error
        if error is not None and (failure := failure_of(error)) is not None:
            raise failure from error


def failure_of(error: BaseException) -> LedgerError | None:
    """What whoever asked is told of an exception out of a query; None for what the values of the
    query are to blame for.
    """
    if isinstance(error, CONNECTION_FAILURES):
        return Unavailable(CANNOT_BE_ASKED, reason=type(error).__name__)
    if not isinstance(error, asyncpg.PostgresError):
        return None
    sqlstate = error.sqlstate or ""
    match follows(error):
        case Follows.SCHEMA if sqlstate[:2] != "23" or sqlstate == "23502":
            return schema_changed(error)
        case Follows.SERVER | Follows.DAMAGE:
            return Unavailable(CANNOT_BE_ASKED, reason=f"{type(error).__name__} ({sqlstate})")
    return None
