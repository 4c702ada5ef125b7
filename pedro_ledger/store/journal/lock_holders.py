"""Who holds the rows that commits do not get: looked up now and then, apart from the commits, and
logged.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from time import monotonic

import asyncpg
import structlog

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.failures import CONNECTION_FAILURES
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("journal")
LOGGED_EVERY_S = 60.0
LOOKUP_TIMEOUT_S = 5.0
USERS_MAX = 20
QUERY_LENGTH_MAX = 200
_LITERALS = re.compile(r"""'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)|(?<![\w$])\d[\w.]*""", re.DOTALL)
log = structlog.get_logger(__name__)


class LockHolderLog:
    """At most once a minute, a line that names the sessions to look at."""

    def __init__(self, database: Database, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._clock = clock
        self._due_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def note(self, user_ids: Iterable[str]) -> None:
        """Rows of these users are held by somebody. Returns at once."""
        now = self._clock()
        if now >= self._due_at:
            self._due_at = now + LOGGED_EVERY_S
            self._task = asyncio.get_running_loop().create_task(self.tell(sorted(user_ids)), name="lock_holders")

    async def tell(self, user_ids: list[str]) -> None:
        """Look up who holds the rows, and log it.

        A row that was let go of meanwhile has no holder any more.
        """
        holders: list[dict[str, object]] = []
        try:
            connection = await self._database.connect()
            try:
                rows = await connection.fetch(_SQL["find_lock_holders"], user_ids[:USERS_MAX], timeout=LOOKUP_TIMEOUT_S)
                holders = [{**row, "query": without_literals(row["query"] or "")} for row in rows]
                await connection.close(timeout=1)
            finally:
                if not connection.is_closed():
                    connection.terminate()
        except (asyncpg.PostgresError, *CONNECTION_FAILURES) as error:
            log.warning("rows_locked", users=len(user_ids), user_id=user_ids[0], reason=type(error).__name__)
            return
        log.warning("rows_locked", users=len(user_ids), user_id=user_ids[0], holders=holders)

    async def close(self) -> None:
        """End the lookup that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def without_literals(query: str) -> str:
    """The beginning of a query with a question mark for each value in it."""
    return _LITERALS.sub("?", query)[:QUERY_LENGTH_MAX]
