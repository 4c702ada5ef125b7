"""A load of deducts whose every acknowledgement is kept, with the time at which it came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import perf_counter

from tests.support.client import Api
from tests.support.patience import PATIENCE_S


class Load:
    """What was acknowledged: entry ids with the moment after their answer, and every status that
    was not 201.
    """

    def __init__(self) -> None:
        self.acknowledged: list[tuple[datetime, str]] = []
        self.refused: list[int] = []
        self.longest_gap_s = 0.0
        self._last = perf_counter()
        self._arrivals = asyncio.Condition()

    async def take(self, status: int, entry_id: str) -> None:
        now = perf_counter()
        self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self._last = now
        if status == 201:
            self.acknowledged.append((datetime.now(UTC), entry_id))
        else:
            self.refused.append(status)
        async with self._arrivals:
            self._arrivals.notify_all()

    @staticmethod
    def moment(text: str) -> datetime:
        """A time as the API tells it."""
        return datetime.fromisoformat(text.replace("Z", "+00:00"))

    async def more(self, count: int) -> None:
        """Wait until `count` more were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE_S), self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.acknowledged) >= goal)


@asynccontextmanager
async def deducts(api: Api, users: list[str], *, workers: int = 8) -> AsyncIterator[Load]:
    """Deducts of 1 from `users` in turn, for the length of the block; each sixth is refunded."""
    load = Load()
    done = False

    async def work(no: int) -> None:
        for turn in range(1_000_000):
            if done:
                return
            user = users[(no + turn) % len(users)]
            reply = await api.deduct(user, 1)
            await load.take(reply.status, reply.json.get("entryId", ""))
            if turn % 6 == 5 and reply.status == 201:
                reply = await api.refund(user, entryId=reply.json["entryId"])
                await load.take(reply.status, reply.json.get("entryId", ""))

    async with asyncio.TaskGroup() as group:
        for no in range(workers):
            group.create_task(work(no))
        try:
            yield load
        finally:
            done = True
