"""What every session and transaction of ours runs under, direct and through a transaction pooler.

A direct session takes it with its startup message, so its statements pay nothing for it. A
transaction pooler gives each transaction another session, whose settings are somebody else's: there
every transaction begins with it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from pedro_ledger.ledger.errors import OperatorError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

SESSION_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "jit": "off",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "client_connection_check_interval": "2s",
}

HOT_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",  # a plan made while a table is small is kept when the table has grown
}
"""For connections that run the same few statements all day."""

ANSWER_GRACE_S = 2.0
"""The client waits this much longer than the server works, so that the server says that it gave up:
then that is certain.
"""


class PoolerError(OperatorError):
    """What needs a session cannot have one through a transaction pooler; the message says what to
    do.
    """


class Timeouts(NamedTuple):
    """How long a session may take, in seconds; there is no way to say "for ever"."""

    lock_s: float
    """Waiting for one lock."""
    statement_s: float
    idle_in_transaction_s: float

    @property
    def command_s(self) -> float:
        """How long the client waits for the answer to a statement."""
        return self.statement_s + ANSWER_GRACE_S

    def settings(self) -> dict[str, str]:
        """As PostgreSQL's settings."""
        return {
            "lock_timeout": _milliseconds(self.lock_s),
            "statement_timeout": _milliseconds(self.statement_s),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_in_transaction_s),
        }


SERVING = Timeouts(lock_s=2, statement_s=10, idle_in_transaction_s=10)
"""Of whatever somebody waits for."""
JOB = Timeouts(lock_s=60, statement_s=86_400, idle_in_transaction_s=86_400)
"""Of commands that read or change a whole database: a day, so that what hangs ends without
anybody.
"""
MIGRATION = JOB._replace(idle_in_transaction_s=10)
"""Of what holds locks that others wait for."""


def session_settings(timeouts: Timeouts, more: Mapping[str, str]) -> dict[str, str]:
    """Everything that a session of ours has, by name."""
    return {**SESSION_SETTINGS, **timeouts.settings(), **more}


class PooledConnection(Connection):
    """A connection to a transaction pooler: whatever is sent travels in a transaction that begins
    with `settings`.

    A statement outside a transaction gets one of its own, which costs two round trips. Statements
    are not kept prepared; `executemany` and `prepare` are not used through poolers, and `copy_…`
    only in a transaction.
    """

    __slots__ = ("_preamble",)

    def carry(self, settings: Mapping[str, str]) -> None:
        """Begin every transaction with these; to be called once, before anything is sent."""
        # SET and not set_config(): that is a query, after which a transaction cannot take over a
        # snapshot any more.
        self._preamble = setting_statements("SET LOCAL", settings)

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109 - asyncpg's
        """As asyncpg's, in a transaction of ours; BEGIN begins one."""
        if query.startswith("BEGIN") and not self.is_in_transaction():
            begin, _, more = query.partition(";")
            if "ISOLATION LEVEL" not in begin:
                begin = begin.replace("BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED", 1)
            return await super().execute(f"{begin}; {self._preamble}; {more}", timeout=timeout)
        async with self._ours():
            return await super().execute(query, *args, timeout=timeout)

    async def fetch(self, query: str, *args: object, **more: Any) -> Any:
        """As asyncpg's, in a transaction of ours."""
        async with self._ours():
            return await super().fetch(query, *args, **more)

    async def fetchrow(self, query: str, *args: object, **more: Any) -> Any:
        """As asyncpg's, in a transaction of ours."""
        async with self._ours():
            return await super().fetchrow(query, *args, **more)

    async def fetchval(self, query: str, *args: object, **more: Any) -> Any:
        """As asyncpg's, in a transaction of ours."""
        async with self._ours():
            return await super().fetchval(query, *args, **more)

    def get_reset_query(self) -> str:
        """Nothing: what a transaction set has ended with it, and the session is another's."""
        return ""

    @asynccontextmanager
    async def _ours(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
            return
        await self.execute("BEGIN")
        try:
            yield
        except asyncpg.PostgresError:
            if not self.is_closed():
                await super().execute("ROLLBACK")
            raise
        except BaseException:  # it is not waited for: a server that fell silent answers no ROLLBACK
            self.terminate()
            raise
        await super().execute("COMMIT")


def setting_statements(set_command: str, settings: Mapping[str, str]) -> str:
    """Statements that make the settings hold, for the session (`SET`) or the transaction (`SET
    LOCAL`).
    """
    return "; ".join(f"{set_command} {name} = '{value}'" for name, value in settings.items())


def _milliseconds(seconds: float) -> str:
    assert seconds > 0, "0 would mean no time-out"
    return f"{max(1, round(seconds * 1000))}ms"
