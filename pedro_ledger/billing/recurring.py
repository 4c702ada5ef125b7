"""Makes the grants of schedules, each period's once."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import time_ns

import structlog

from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.schedules import Schedule
from pedro_ledger.store.billing.schedules import ScheduleStore

GRANT_EVERY_S = 1.0
PAGE = 500
AT_ONCE = 100
"""Grants in flight of one tick."""
log = structlog.get_logger(__name__)


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000


class RecurringGrants:
    """One turn is `tick`; any number of replicas may run one.

    A period's grant has one key, so it is made once, however many ask for it.
    """

    def __init__(
        self,
        store: ScheduleStore,
        engine: Engine,
        on_lag: Callable[[float], None],
        on_missed: Callable[[int], None],
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._store = store
        self._engine = engine
        self._on_lag = on_lag
        self._on_missed = on_missed
        self._clock = clock

    async def tick(self) -> float | None:
        """Make the grants of a page of schedules that are due.

        Returns 0 where more of them wait, for the next turn to come at once. Raises `Unavailable`.
        """
        due = await self._store.claim(PAGE, self._clock())
        self._on_lag(due.lag_s)
        slots = asyncio.Semaphore(AT_ONCE)

        async def guarded(schedule: Schedule) -> None:
            async with slots:
                await self.settle(schedule)

        await asyncio.gather(*map(guarded, due.schedules))
        return 0.0 if len(due.schedules) == PAGE else None

    async def settle(self, schedule: Schedule) -> None:
        """Make the grant of the period that runs, unless the ledger has it.

        Of several periods that went by, only the one that runs is granted. What fails is logged and
        noted, and tried again by a later tick.
        """
        number = schedule.periods.number_at(self._clock())
        if number < schedule.next_number:
            return
        try:
            seq = await self._store.find(schedule, number)
            if seq is None:
                answer = await self._engine.submit(schedule.user_id, schedule.grant(number))
                if answer.error is not None:
                    raise answer.error
                assert answer.receipt is not None, "an answer has a receipt or an error"
                seq = answer.receipt.seq
            missed = await self._store.mark(schedule, number, seq)
            if missed:
                self._on_missed(missed)
        except LedgerError as error:
            log.warning("recurring_grant_not_made", user_id=schedule.user_id, id=schedule.id, reason=error.code)
            await self._note(schedule, error.code)

    async def _note(self, schedule: Schedule, reason: str) -> None:
        with suppress(LedgerError):  # it is logged, and due again
            await self._store.note_trouble(schedule, reason)
