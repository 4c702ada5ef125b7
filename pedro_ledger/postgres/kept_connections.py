"""Connections apart from the pool, for what must not wait until others give theirs back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.sessions import Timeouts


class KeptConnections:
    """Opened when needed, kept while they work, terminated with the first thing that fails on them.

    How many there are is bounded by how many their owner uses at once.
    """

    def __init__(self, database: Database, settings: Mapping[str, str], timeouts: Timeouts) -> None:
        self._database = database
        self._settings = settings
        self._timeouts = timeouts
        self._idle: list[Connection] = []

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._idle)

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        """A connection for the length of the block.

        What fails in it is raised as it is, at once: nothing is waited for.
        """
        while self._idle and self._idle[-1].is_closed():
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._database.connect(self._settings, self._timeouts)
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)

    def close(self) -> None:
        """Terminate what is idle; nothing is under way on it."""
        while self._idle:
            self._idle.pop().terminate()
