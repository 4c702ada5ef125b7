"""Spend limits of plans and of all users.

A user's own live on the account: the engine sets them.
"""

from pedro_ledger.ledger.errors import TooManyLimits
from pedro_ledger.ledger.meters import Limit
from pedro_ledger.store.app.app_table import AppTable
from pedro_ledger.store.journal.rows import Row

LIMITS_MAX = 100
"""Each account that they apply to counts for them."""


class SpendLimitStore(AppTable):
    """The table `pedro_ledger.spend_limit`; decisions see it through the price refresher."""

    async def list_all(self) -> list[Row]:
        """By id."""
        return await self._many("list_limits")

    async def put(self, limit: Limit, plan_id: str | None) -> Row:
        """Make a limit, or change the one that has its id. Raises `TooManyLimits`."""
        row = await self._write(
            "spend_limit", "put_limit", limit.id, limit.credits, limit.window, limit.zone, limit.operation_type,
            limit.on_behalf_of, plan_id, LIMITS_MAX,
        )  # fmt: skip
        if row is None:
            raise TooManyLimits(f"There are {LIMITS_MAX} limits: delete some of them.", limitsMax=LIMITS_MAX)
        return row

    async def delete(self, limit_id: str) -> Row | None:
        """Delete a limit. Returns what it was; None where there is none."""
        return await self._write("spend_limit", "delete_limit", limit_id)
