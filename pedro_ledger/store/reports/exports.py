"""Exports: whole tables as PostgreSQL's COPY writes them, each from one snapshot."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.sessions import Timeouts

_SQL = SqlFiles("exports")
QUERIES = {
    "entries": _SQL["export_entries"],
    "usage": _SQL["export_usage"],
    "grants": _SQL["export_grants"],
    "holds": _SQL["export_holds"],
}
"""Each export by its name; all are in order of user and then of `KEYS`."""
KEYS = {"entries": "seq", "usage": "id", "grants": "seq", "holds": "seq"}
"""What tells the rows of one user apart, by export."""
EXPORT = Timeouts(lock_s=2, statement_s=6 * 3600, idle_in_transaction_s=60)

Sink = Callable[[bytes], Coroutine[Any, Any, None]]


class Place(NamedTuple):
    """A row of an export: its user, and its seq or id."""

    user_id: str
    key: str


class Wanted(NamedTuple):
    """What of a table is exported."""

    since: datetime | None = None
    until: datetime | None = None
    after: Place | None = None
    """The last row that is not wanted any more."""


class ExportSession:
    """One transaction that only reads, on a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def columns(self, name: str) -> list[str]:
        """The names of an export's columns, in order."""
        header = bytearray()

        async def keep(chunk: bytes) -> None:
            header.extend(chunk)

        query = await self._query(name, Wanted())
        await self._connection.copy_from_query(f"{query}\nLIMIT 0", output=keep, format="csv", header=True)
        return header.decode().strip().split(",")

    async def copy_csv(self, name: str, wanted: Wanted, sink: Sink) -> int:
        """Every row as CSV, without a header: nothing is null, `""` is empty text.

        Returns how many rows there were. Chunks end where a row ends.
        """
        return await self._copy(await self._query(name, wanted), sink, "csv")

    async def copy_json(self, name: str, wanted: Wanted, sink: Sink) -> int:
        """Every row as one line of JSON. Returns how many rows there were."""
        rows = await self._query(name, wanted)

        async def unescaped(chunk: bytes) -> None:
            # JSON as text has no control characters, so the backslash is all that COPY escapes.
            await sink(bytes(chunk).replace(b"\\\\", b"\\"))

        query = f"SELECT row_to_json(exported) FROM (\n{rows}\n) AS exported"  # noqa: S608 - of ours, literals quoted
        return await self._copy(query, unescaped, "text")

    async def _copy(self, query: str, sink: Sink, form: Literal["text", "csv"]) -> int:
        status = await self._connection.copy_from_query(query, output=sink, format=form)
        return int(status.removeprefix("COPY "))

    async def _query(self, name: str, wanted: Wanted) -> str:
        """The query with its parameters as literals, for COPY takes no parameters."""
        after = wanted.after or (None, None)
        moments = [None if at is None else at.isoformat() for at in (wanted.since, wanted.until)]
        literals = await self._connection.fetchrow(
            "SELECT quote_nullable($1::text), quote_nullable($2::text), quote_nullable($3::text), quote_nullable($4::text)",
            *moments,
            *after,
        )
        assert literals is not None, "a SELECT without FROM has one row"
        query = QUERIES[name]
        for number, literal in enumerate(literals, 1):
            query = query.replace(f"${number}::", f"{literal}::")
        return query


class ExportReader:
    """Opens sessions for exports: on the replica while it keeps up, else on the primary."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ExportSession]:
        """A session for the length of the block. Raises `Unavailable`."""
        with unavailable():
            connection = await self._reader.source().connect(timeouts=EXPORT)
        try:
            with unavailable():
                async with connection.transaction(readonly=True):
                    yield ExportSession(connection)
        finally:
            connection.terminate()
