"""Which calls may take a connection to write with: a share of the pool at a time, and one for each
subject.

Whoever writes may have to wait for a row that somebody else holds. Without bounds, those who wait
for one row would take every connection, and nobody could even read.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pedro_ledger.ledger.errors import Busy, Unavailable


class WriteGate:
    """A bulkhead: `share` calls at once, one of each subject. Who is not let in within `wait_s` is
    refused.
    """

    def __init__(self, share: int, *, wait_s: float) -> None:
        self._share = asyncio.Semaphore(share)
        self._wait_s = wait_s
        self._locks: dict[str, _SubjectLock] = {}

    @asynccontextmanager
    async def entered(self, subject: str) -> AsyncIterator[None]:
        """Be let in, for the length of the block.

        Raises `Busy` where another call about `subject` is in, `Unavailable` where too many others
        are.
        """
        subject_lock = self._locks.setdefault(subject, _SubjectLock())
        subject_lock.callers += 1
        try:
            is_ours = False
            try:
                async with asyncio.timeout(self._wait_s):
                    await subject_lock.lock.acquire()
                    is_ours = True
                    await self._share.acquire()
            except TimeoutError:
                if not is_ours:
                    raise busy() from None
                subject_lock.lock.release()
                raise Unavailable(
                    "Too many calls wait for locks in the database. Try again shortly.", reason="write_share"
                ) from None
            except BaseException:
                if is_ours:
                    subject_lock.lock.release()
                raise
            try:
                yield
            finally:
                self._share.release()
                subject_lock.lock.release()
        finally:
            subject_lock.callers -= 1
            if not subject_lock.callers:
                del self._locks[subject]

    def __len__(self) -> int:
        """Subjects that calls are about now."""
        return len(self._locks)


def busy() -> Busy:
    """Nothing was written: something else holds what was to be changed."""
    return Busy(
        "Something else holds what this call wants to change: a transaction of the app's, or another call. Nothing was changed.",
        outcome="not_applied",
    )


class _SubjectLock:
    """The lock of a subject, and how many callers hold it or wait for it."""

    __slots__ = ("callers", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.callers = 0
