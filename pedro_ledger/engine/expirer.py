"""Books what has fallen due on accounts that nobody touches, so that the app's balance does not
show credits that are gone.

Right answers do not need it: whoever touches an account books what is due there first.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.errors import Busy, LedgerError, SchemaChanged
from pedro_ledger.ledger.operations import Touch

EXPIRE_EVERY_S = 1.0
PAGE_ACCOUNTS = 500
IN_FLIGHT_MAX = 200
PATIENCE_S = 1.0
"""Where no touch is answered for so long, the tick ends; what is under way goes on."""
PASSED_OVER_S = 10.0
"""An account that is locked at the deadline of its touch is left alone for so long, so that others
have their turn.
"""
COUNT_HOLDS_EVERY = 15
"""Ticks: it reads every account that has something open."""
ACTOR = "sweeper"


class Due(Protocol):
    """Accounts on which something has fallen due, longest first, and for how long the first of them
    waits, in seconds.
    """

    @property
    def user_ids(self) -> Sequence[str]:
        """By `User.id`."""

    @property
    def lag_s(self) -> float:
        """0 where none is due."""


class DueSource(Protocol):
    """Who knows what has fallen due."""

    async def count_holds(self) -> tuple[int, int, float]:
        """Open holds, credits that they hold, and for how long the oldest is open, in seconds."""
        ...

    def page(self, accounts_max: int) -> AbstractAsyncContextManager[Due | None]:
        """The accounts that are due, for as long as the context lasts; None where another replica
        is at them.
        """


class Expirer:
    """One tick is `tick`; any number of replicas may run one."""

    def __init__(
        self,
        source: DueSource,
        submit: Callable[[str, Touch], asyncio.Future[Answer]],
        on_lag: Callable[[float], None],
        on_holds: Callable[[int, int, float], None],
    ) -> None:
        self._source = source
        self._submit = submit
        self._on_lag = on_lag
        self._under_way: dict[str, asyncio.Future[Answer]] = {}
        """Touches without an answer, by user; some outlast the tick that made them."""
        self._passed_over: dict[str, float] = {}
        """Users who could not be touched, and when that is tried again."""
        self._on_holds = on_holds
        self._ticks = 0

    async def tick(self) -> float | None:
        """Touch a page of accounts.

        Returns 0 where more of them wait, for the next tick to come at once.
        """
        if self._ticks % COUNT_HOLDS_EVERY == 0:
            self._on_holds(*await self._source.count_holds())
        self._ticks += 1
        self._forget_passed_over()
        page_max = PAGE_ACCOUNTS + len(self._under_way) + len(self._passed_over)
        async with self._source.page(page_max) as due:
            if due is None:
                return None
            self._on_lag(due.lag_s)
            for user_id in due.user_ids:
                if user_id in self._under_way or user_id in self._passed_over:
                    continue
                if not (await self._has_room(IN_FLIGHT_MAX) and self._touch(user_id)):
                    return None
            return 0.0 if await self._has_room(1) and len(due.user_ids) == page_max else None

    async def _has_room(self, under_way_max: int) -> bool:
        """Wait until fewer touches than so many are under way.

        False where they are not answered: a locked account holds up its own touch alone.
        """
        while len(self._under_way) >= under_way_max:
            under_way = self._under_way.values()
            answered, _ = await asyncio.wait(under_way, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if not answered:
                return False
            await asyncio.sleep(0)  # they are taken note of
        return True

    def _touch(self, user_id: str) -> bool:
        """False where too much is in flight: it is touched in a later tick."""
        try:
            future = self._submit(user_id, Touch(ACTOR))
        except LedgerError:
            return False
        self._under_way[user_id] = future
        future.add_done_callback(lambda _: self._take_note(user_id, future))
        return True

    def _take_note(self, user_id: str, future: asyncio.Future[Answer]) -> None:
        del self._under_way[user_id]
        if not future.cancelled() and isinstance(future.result().error, Busy | SchemaChanged):
            self._passed_over[user_id] = future.get_loop().time() + PASSED_OVER_S

    def _forget_passed_over(self) -> None:
        now = asyncio.get_running_loop().time()
        self._passed_over = {user: until for user, until in self._passed_over.items() if until > now}
