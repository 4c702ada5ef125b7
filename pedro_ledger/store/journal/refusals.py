"""Forgets refusals that are too old to be asked for again."""

import asyncio

import structlog

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("journal")
INTERVAL_S = 600.0
PAGE = 5000
log = structlog.get_logger(__name__)


class RefusalPurger:
    """One turn is `purge`; `run` takes a turn now and then."""

    def __init__(self, database: Database, *, kept_days: int) -> None:
        self._database = database
        self._kept_days = kept_days

    async def run(self) -> None:
        """Purge until cancelled."""
        while True:
            try:
                await self.purge()
            except Unavailable as error:
                log.warning("refusals_not_purged", reason=error.facts.get("reason"))
            await asyncio.sleep(INTERVAL_S)

    async def purge(self) -> int:
        """Delete what is too old, a page at a time so that no commit waits for it. Returns how many."""
        purged = 0
        while True:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_SQL["purge_refusals"], self._kept_days, PAGE)
            purged += len(rows)
            if len(rows) < PAGE:
                return purged
