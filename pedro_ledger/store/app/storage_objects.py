"""The app's `StorageObject` rows: files of users.

Every query is filtered by their owner, and deleting only marks them.
"""

from datetime import datetime

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.store.app.app_table import AppTable
from pedro_ledger.store.journal.rows import Row


class StorageStore(AppTable):
    """`user_id` is the owner in each method."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def track(
        self, user_id: str, *, provider: str, url: str, pathname: str, name: str, content_type: str | None, size: int
    ) -> Row | None:
        """Note a file of `size` bytes; None where there is no such user."""
        return await self._write(
            user_id, "track_object", new_id(), user_id, provider, url, pathname, name, content_type, size
        )

    async def list_page(self, user_id: str, before: tuple[datetime, str] | None, limit: int) -> list[Row]:
        """A user's files that are not deleted, newest first; `before` is the last one of the page
        before.
        """
        at, object_id = before or (None, None)
        return await self._many("list_objects", user_id, at, object_id, limit)

    async def read(self, user_id: str, object_id: str) -> Row | None:
        """One file that is not deleted."""
        return await self._one("read_object", object_id, user_id)

    async def delete(self, user_id: str, object_id: str) -> Row | None:
        """Mark a file as deleted; None where there is none that is not."""
        return await self._write(user_id, "delete_object", object_id, user_id)

    async def purgeable(self, days: int, after: tuple[datetime, str] | None, limit: int) -> list[Row]:
        """Files of all users that were deleted more than `days` days ago, in the order of their
        deletion.
        """
        at, object_id = after or (None, None)
        return await self._many("list_purgeable", days, at, object_id, limit)

    async def totals(self, user_id: str) -> Row:
        """How many files a user has, and bytes in all; the deleted apart."""
        row = await self._one("read_totals", user_id)
        assert row is not None, "an aggregate has one row"
        return row
