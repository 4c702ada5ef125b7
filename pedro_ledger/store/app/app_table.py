"""What the stores of the app's own tables have in common: rows go out as JSON objects, with the
columns' own names.
"""

from datetime import datetime
from typing import Any

import asyncpg
import orjson

from pedro_ledger.ledger.errors import Conflict
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.rows import Row

Place = tuple[datetime | int, str]
"""What the last row of a page is sorted by, and its id. Times have no zone and are UTC."""


class AppTable:
    """Queries of one area, each of which returns rows as one column of JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = SqlFiles("app")

    async def _one(self, query: str, *arguments: Any) -> Row | None:
        """The row that a query answers with, if any."""
        async with self._database.acquire() as connection:
            found = await connection.fetchval(self._sql[query], *arguments)
        return None if found is None else orjson.loads(found)

    async def _write(self, subject: str, query: str, *arguments: Any) -> Row | None:
        """The row that a statement writes about `subject`, if any.

        Raises `Conflict` where a unique value is taken, and `Busy`.
        """
        try:
            async with self._database.writing(subject) as connection:
                found = await connection.fetchval(self._sql[query], *arguments)
        except asyncpg.UniqueViolationError as error:
            field = (error.constraint_name or "").removesuffix("_key").rpartition("_")[2] or "id"
            raise Conflict(f"Another row has this {field}.", code=f"{field.lower()}_taken", field=field) from error
        return None if found is None else orjson.loads(found)

    async def _many(self, query: str, *arguments: Any) -> list[Row]:
        """The rows that a query answers with, in its order."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(self._sql[query], *arguments)
        return [orjson.loads(row[0]) for row in rows]


def text(value: Any) -> str:
    """A value as the JSON that queries take."""
    return orjson.dumps(value).decode()
