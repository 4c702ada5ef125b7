"""The app's one row of `AdminSettings`: what operations cost."""

from collections.abc import Mapping
from typing import Any

from pedro_ledger.postgres.database import Database
from pedro_ledger.store.app.app_table import AppTable, text
from pedro_ledger.store.journal.rows import Row

_EMPTY: Row = {"id": "singleton", "featureCosts": None, "createdAt": None, "updatedAt": None}


class AdminSettingsStore(AppTable):
    """The row with the id `singleton`; made by the first change."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def read(self) -> Row:
        """The settings as they are; empty ones, without times, where the app has none yet."""
        return await self._one("read_settings") or dict(_EMPTY)

    async def costs(self) -> Row:
        """The feature costs, whatever the app has put there; nothing is made."""
        found: Any = await self._one("read_costs")
        return found if isinstance(found, dict) else {}

    async def merge_costs(self, costs: Mapping[str, int | None], token_prices: Mapping[str, Any] | None = None) -> Row:
        """Set these costs, in credits, and these token prices, by operation type and model, and
        leave the others; None removes one. Concurrent merges do not undo each other.
        """
        row = await self._write("AdminSettings", "merge_costs", text(costs), text(token_prices or {}))
        assert row is not None, "an upsert returns its row"
        return row
