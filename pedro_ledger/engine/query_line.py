"""What waits for queries of one kind: lanes take it in batches, and a batch that fails is halved
until whoever is to blame is alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from pedro_ledger.ledger.errors import LedgerError, NotServed, Unavailable

RETRY_FIRST_S = 0.05
RETRY_LONGEST_S = 1.0
Item = TypeVar("Item", bound=Hashable)
Found = TypeVar("Found")


class QueryLine(Generic[Item, Found]):
    """Several lanes, so that a query that falls silent holds up only what is in it."""

    def __init__(
        self,
        ask: Callable[[list[Item]], Awaitable[Found]],
        on_found: Callable[[list[Item], Found], None],
        on_failed: Callable[[Item, LedgerError], None],
        *,
        batch_max: int,
    ) -> None:
        self._ask = ask
        self._on_found = on_found
        self._on_failed = on_failed
        self._most = batch_max
        self._batch_max = batch_max
        """Halved with every batch that the database did not answer, doubled with every other: what
        keeps the database from answering is soon in a batch of its own."""
        self._retry_s = RETRY_FIRST_S
        self._waiting: dict[Item, None] = {}
        self._work = asyncio.Event()

    def put(self, item: Item) -> None:
        """Have it in one of the next batches."""
        self._waiting[item] = None
        self._work.set()

    async def run_lane(self) -> None:
        """Ask until cancelled."""
        while True:
            if not self._waiting:
                self._work.clear()
                await self._work.wait()
            else:
                await self._serve(self._take())

    def _take(self) -> list[Item]:
        batch = [item for item, _ in zip(self._waiting, range(self._batch_max), strict=False)]
        for item in batch:
            del self._waiting[item]
        return batch

    async def _serve(self, batch: list[Item]) -> None:
        try:
            found = await self._ask(batch)
        except Unavailable:
            for item in batch:
                self.put(item)
            self._batch_max = max(1, len(batch) // 2)
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(2 * self._retry_s, RETRY_LONGEST_S)
        except Exception as error:
            if len(batch) > 1 and not (isinstance(error, NotServed) and error.is_everybodys):
                middle = len(batch) // 2
                await self._serve(batch[:middle])
                await self._serve(batch[middle:])
                return
            for item in batch:
                self._on_failed(item, _told(error))
        else:
            self._retry_s = RETRY_FIRST_S
            self._batch_max = min(2 * self._batch_max, self._most)
            self._on_found(batch, found)


def _told(error: Exception) -> LedgerError:
    """What the callers are told of whoever is to blame.

    A mistake of ours that concerns one user ends nothing for the others.
    """
    if isinstance(error, NotServed):
        return error.error
    mistake = Unavailable(
        "The operation was not applied: the daemon made a mistake with this user. Its log has the reason.",
        reason=type(error).__name__,
        outcome="not_applied",
    )
    mistake.__cause__ = error
    return mistake
