"""Whether the database can be asked, written, and trusted to keep what it commits."""

from time import monotonic

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.store.database import Database
from pedro_ledger.store.sqlfiles import SqlFiles

_SQL = SqlFiles("health")
REMEMBER_S = 0.5
"""Probes come from several sides at once; the database is asked this often at most."""


class DatabaseHealth:
    """Asks the primary. An answer is kept for `REMEMBER_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked_at = float("-inf")
        self._missing: list[str] = []

    async def ping(self) -> None:
        """Raises `Unavailable` when the database does not answer."""
        async with self._database.acquire() as connection:
            await connection.fetchval(_SQL["ping"])

    async def missing(self) -> list[str]:
        """What keeps the daemon from acknowledging writes, in words; empty when nothing does."""
        if monotonic() - self._asked_at >= REMEMBER_S:
            self._missing = await self._ask()
            self._asked_at = monotonic()
        return self._missing

    async def _ask(self) -> list[str]:
        try:
            async with self._database.acquire() as connection:
                row = await connection.fetchrow(_SQL["read_safety"])
        except Unavailable:
            return ["the database does not answer"]
        assert row is not None, "the query always has one row"
        missing = []
        if row["is_standby"] or row["is_read_only"]:
            missing.append("the database is not a writable primary")
        missing += [
            f"the database runs with {setting}=off, so what it commits can be lost"
            for setting in ("fsync", "full_page_writes", "synchronous_commit")
            if row[setting] == "off"
        ]
        return missing
