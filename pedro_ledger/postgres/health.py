"""Whether the database can be asked, written, and trusted to keep what it commits."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

import asyncpg

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("postgres")
REMEMBER_S = 0.5
"""Probes come from several sides at once; the database is asked this often at most."""
ANSWER_WITHIN_S = 1.0
"""A probe is answered within this time, though a server that fell silent holds its question for
longer.
"""
SILENT = "the database does not answer"
NOT_A_PRIMARY = "the database is not a writable primary"
T = TypeVar("T")


class DatabaseHealth:
    """Asks the primary. An answer is kept for `REMEMBER_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked_at = float("-inf")
        self._missing: list[str] = []
        self._asking: dict[str, asyncio.Task[Any]] = {}

    async def ping(self) -> None:
        """Raises `Unavailable` when the database does not answer."""
        if failure := await self._in_time(self._ping, "it fell silent"):
            raise Unavailable("The database does not answer.", reason=failure)

    async def missing(self) -> list[str]:
        """What keeps the daemon from acknowledging writes, in words; empty when nothing does."""
        if monotonic() - self._asked_at >= REMEMBER_S:
            self._missing = await self._in_time(self._ask, [SILENT])
            self._asked_at = monotonic()
        return self._missing

    async def _in_time(self, ask: Callable[[], Coroutine[Any, Any, T]], silence: T) -> T:
        """The answer, or `silence` when there is none in time.

        Who asks while the same question waits, waits with it.
        """
        task = self._asking.get(ask.__name__)
        if task is None or task.done():
            task = self._asking[ask.__name__] = asyncio.create_task(ask())
        await asyncio.wait({task}, timeout=ANSWER_WITHIN_S)
        return task.result() if task.done() else silence

    async def _ping(self) -> str:
        """Why the database does not answer; empty when it does."""
        try:
            async with self._database.acquire() as connection:
                await connection.fetchval(_SQL["ping"])
        except Unavailable as error:
            return str(error.facts.get("reason", error))
        return ""

    async def _ask(self) -> list[str]:
        try:
            async with self._database.acquire() as connection:
                row = await connection.fetchrow(_SQL["read_safety"])
        except Unavailable as error:
            is_found = isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched)
            return [NOT_A_PRIMARY if is_found else SILENT]
        assert row is not None, "the query always has one row"
        missing = []
        if row["is_standby"] or row["is_read_only"]:
            missing.append(NOT_A_PRIMARY)
            await self._database.look_again()
        missing += [
            f"the database runs with {setting}=off, so what it commits can be lost"
            for setting in ("fsync", "full_page_writes", "synchronous_commit")
            if row[setting] == "off"
        ]
        return missing
