"""The app's `Plan` rows."""

from collections.abc import Mapping
from typing import Any

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.store.app.app_table import AppTable, text
from pedro_ledger.store.journal.rows import Row


class PlanStore(AppTable):
    """Plans are never deleted: one that is no longer sold is not active."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def list_page(self, active: bool | None, after: tuple[int, str] | None, limit: int) -> list[Row]:
        """Plans by `sortOrder`; `after` is the sortOrder and id of the last one of the page
        before.
        """
        sort_order, plan_id = after or (None, None)
        return await self._many("list_plans", active, sort_order, plan_id, limit)

    async def read(self, plan_id: str) -> Row | None:
        """One plan."""
        return await self._one("read_plan", plan_id)

    async def make(self, fields: Mapping[str, Any]) -> Row:
        """A new plan from columns. Raises `Conflict` where its Clerk or Asaas id is taken."""
        made = await self._write(plan_id := new_id(), "make_plan", plan_id, text(fields))
        assert made is not None, "an insert returns its row"
        return made

    async def change(self, plan_id: str, fields: Mapping[str, Any]) -> Row | None:
        """Change these columns; None where there is no such plan. Raises `Conflict`."""
        return await self._write(plan_id, "change_plan", plan_id, text(fields))
