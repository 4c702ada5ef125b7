"""Keeps the reports' rollups: moves what the triggers queued into them, a bounded step a
transaction.
"""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from pedro_ledger.postgres.advisory_locks import Lock, try_lock
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("reports")
STEP_USES = 50_000
STEP_ROWS = 2_000


class RollupStep(NamedTuple):
    """What one step moved; none where another replica is at it."""

    changes: int
    is_full: bool
    """More may be left."""


class RollupWorker:
    """One transaction is `step`; `tick` is one, and says when the next is due.

    Any number of replicas may run one: a transaction's advisory lock lets one step at a time
    through. Nothing depends on the lock but the peace of the others: a queue's row is deleted and
    counted in the same statement.
    """

    def __init__(
        self,
        database: Database,
        *,
        interval_s: float,
        on_step: Callable[[int, float], None] = lambda changes, seconds: None,
    ) -> None:
        self._database = database
        self._interval_s = interval_s
        self._on_step = on_step

    async def tick(self) -> float:
        """One step. Returns the seconds until the next: steps take a tenth of the time at most,
        also when much is left over, for commits come first.

        Every `interval_s`, for the longer the queues, the less a change in them costs: a step of a
        few changes costs each of them many times what one of thousands does.
        """
        started = perf_counter()
        step = await self.step()
        return max(0 if step.is_full else self._interval_s, 9 * (perf_counter() - started))

    async def roll_up(self) -> int:
        """Roll up what is queued, step by step without pause, to the first one that is not full.

        Returns how many changes were moved.
        """
        rolled_up = 0
        while True:
            step = await self.step()
            rolled_up += step.changes
            if not step.is_full:
                return rolled_up

    async def step(self) -> RollupStep:
        """One transaction."""
        started = perf_counter()
        async with self._database.acquire() as connection, connection.transaction():
            if not await try_lock(connection, Lock.ROLLUPS):
                return RollupStep(0, is_full=False)
            uses: int = await connection.fetchval(_SQL["roll_up_usage"], STEP_USES)
            balances: int = await connection.fetchval(_SQL["roll_up_balances"], STEP_ROWS)
            signups: int = await connection.fetchval(_SQL["roll_up_signups"], STEP_ROWS)
        changes = uses + balances + signups
        if changes:
            self._on_step(changes, perf_counter() - started)
        return RollupStep(changes, is_full=uses >= STEP_USES or max(balances, signups) >= STEP_ROWS)
