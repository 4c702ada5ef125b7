"""The app's `Feature` rows; each belongs to a workspace, and every query is filtered by it where
the caller is bound to one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.store.app.app_table import AppTable, text
from pedro_ledger.store.journal.rows import Row


class FeatureStore(AppTable):
    """In each method `workspace_id` is the only workspace that is seen; None sees all."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def list_page(self, workspace_id: str | None, before: tuple[datetime, str] | None, limit: int) -> list[Row]:
        """Features, newest first; `before` is the last one of the page before."""
        at, feature_id = before or (None, None)
        return await self._many("list_features", workspace_id, at, feature_id, limit)

    async def read(self, feature_id: str, workspace_id: str | None) -> Row | None:
        """One feature."""
        return await self._one("read_feature", feature_id, workspace_id)

    async def make(self, workspace_id: str, name: str, description: str | None, tags: list[str]) -> Row:
        """A new feature."""
        made = await self._write(
            feature_id := new_id(), "make_feature", feature_id, workspace_id, name, description, tags
        )
        assert made is not None, "an insert returns its row"
        return made

    async def change(self, feature_id: str, workspace_id: str | None, fields: Mapping[str, Any]) -> Row | None:
        """Change these columns; None where no such feature is seen."""
        return await self._write(feature_id, "change_feature", feature_id, workspace_id, text(fields))

    async def delete(self, feature_id: str, workspace_id: str | None) -> Row | None:
        """Delete a feature; what it was, or None where no such feature is seen."""
        return await self._write(feature_id, "delete_feature", feature_id, workspace_id)
