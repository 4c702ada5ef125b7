"""Bringing users up to date from what Clerk exports."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import asyncpg

from pedro_ledger.ledger.billing import UserUpserted
from pedro_ledger.ledger.errors import Conflict
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.app.users import taken
from pedro_ledger.store.billing.inbox import knows_later, lock_subject, put_user

_SQL = SqlFiles("billing")
ACTOR = "resync"


class ResyncOutcome(StrEnum):
    """What became of a user of the export."""

    MADE = "made"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    STALE = "stale"
    """A webhook told later news of the user than the export has."""


class UserResync:
    """Compares each user with what is kept, and writes only differences."""

    def __init__(self, database: Database, *, signup_credits: int, is_dry: bool) -> None:
        self._database = database
        self._signup_credits = signup_credits
        self._is_dry = is_dry

    async def put(self, seen: UserUpserted, changed_at: datetime | None) -> ResyncOutcome:
        """Make or change a user, each in a transaction.

        Raises `Conflict` when it crosses with another change, and `Unavailable`.
        """
        async with self._database.acquire() as connection, connection.transaction():
            await lock_subject(connection, "clerk", seen.clerk_id)
            kept = await connection.fetchrow(_SQL["read_user"], seen.clerk_id)
            if kept is not None and tuple(kept) == (seen.email, seen.name, seen.is_active):
                return ResyncOutcome.UNCHANGED
            if changed_at is not None and await knows_later(connection, seen.clerk_id, changed_at, ""):
                return ResyncOutcome.STALE
            if not self._is_dry:
                try:
                    await put_user(connection, seen, signup_credits=self._signup_credits, actor=ACTOR)
                except asyncpg.UniqueViolationError as error:
                    raise taken(error) from error
            return ResyncOutcome.MADE if kept is None else ResyncOutcome.CHANGED

    async def missing(self, clerk_ids: Iterable[str]) -> list[str]:
        """Clerk ids of active users that the export does not have.

        Nothing is done to them. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            return [row["clerkId"] for row in await connection.fetch(_SQL["list_missing"], list(clerk_ids))]


__all__ = ["Conflict", "ResyncOutcome", "UserResync"]
