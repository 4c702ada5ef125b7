"""Forgets refusals that are too old to be asked for again."""

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("journal")
PAGE = 5000


class RefusalPurger:
    """Refusals are kept for `kept_days`."""

    def __init__(self, database: Database, *, kept_days: int) -> None:
        self._database = database
        self._kept_days = kept_days

    async def tick(self) -> None:
        """Purge once."""
        await self.purge()

    async def purge(self) -> int:
        """Delete what is too old, a page at a time so that no commit waits for it.

        Returns how many.
        """
        purged = 0
        while True:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_SQL["purge_refusals"], self._kept_days, PAGE)
            purged += len(rows)
            if len(rows) < PAGE:
                return purged
