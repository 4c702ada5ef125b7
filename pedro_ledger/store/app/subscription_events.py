"""The app's `SubscriptionEvent` rows: what happened to subscriptions, as the payment side told
it.
"""

from datetime import datetime
from typing import Any

from pedro_ledger.ledger.errors import Conflict
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.store.app.app_table import AppTable, text
from pedro_ledger.store.journal.rows import Row


class SubscriptionEventStore(AppTable):
    """Events are appended; nothing changes them."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def list_page(self, clerk_id: str | None, before: tuple[datetime, str] | None, limit: int) -> list[Row]:
        """Events of a Clerk id, or of all, newest first; `before` is the last one of the page
        before.
        """
        at, event_id = before or (None, None)
        return await self._many("list_events", clerk_id, at, event_id, limit)

    async def make(
        self,
        clerk_id: str,
        *,
        plan_key: str | None,
        status: str,
        event_type: str,
        occurred_at: datetime | None,
        metadata: Any,
    ) -> Row:
        """Append an event; the user is found by the Clerk id, and need not exist yet. Times in UTC
        without zone; now, unless told.

        Raises `Conflict` where the plan's key names two plans.
        """
        if plan_key is not None:
            async with self._database.acquire() as connection:
                plans = await connection.fetchval(self._sql["find_plans"], plan_key)
            if len(plans) > 1:
                raise Conflict(
                    f"planKey names the plans {', '.join(plans)}: send the id of one of them.",
                    code="plan_ambiguous", field="planKey", plans=plans,
                )  # fmt: skip
        metadata_text = None if metadata is None else text(metadata)
        row = await self._write(
            clerk_id, "make_event", new_id(), clerk_id, plan_key, status, event_type, occurred_at, metadata_text
        )
        assert row is not None, "an insert returns its row"
        return row
