"""Books what has fallen due on accounts that nobody touches, so that the app's balance does not
show credits that are gone.

Right answers do not need it: whoever touches an account books what is due there first.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.operations import Touch

EXPIRE_EVERY_S = 1.0
PAGE_ACCOUNTS = 500
IN_FLIGHT_MAX = 200
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
    ) -> None:
        self._source = source
        self._submit = submit
        self._on_lag = on_lag

    async def tick(self) -> float | None:
        """Touch a page of accounts.

        Returns 0 where more of them wait, for the next tick to come at once.
        """
        async with self._source.page(PAGE_ACCOUNTS) as due:
            if due is None:
                return None
            self._on_lag(due.lag_s)
            for start in range(0, len(due.user_ids), IN_FLIGHT_MAX):
                await self._touch(due.user_ids[start : start + IN_FLIGHT_MAX])
            return 0.0 if len(due.user_ids) == PAGE_ACCOUNTS else None

    async def _touch(self, user_ids: Sequence[str]) -> None:
        """An account that cannot be touched now, because it is locked or too much is in flight, is
        touched in a later tick.
        """
        futures = []
        for user_id in user_ids:
            try:
                futures.append(self._submit(user_id, Touch(ACTOR)))
            except LedgerError:
                break
        if futures:
            await asyncio.wait(futures)
