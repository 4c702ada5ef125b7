"""A user's mailbox: the bounded asyncio queue through which every operation of that user passes."""

import asyncio
from collections import deque
from collections.abc import Iterable

from pedro_ledger.engine.submission import Submission


class Mailbox(asyncio.Queue[Submission]):
    """Keeps a user's submissions in the order in which they came; full, it refuses at once
    (`asyncio.QueueFull`).
    """

    _queue: deque[Submission]

    def submissions(self) -> Iterable[Submission]:
        """What waits, oldest first, without taking it."""
        return self._queue

    def first_deadline(self) -> float | None:
        """When the oldest submission must have an answer; deadlines come in the order of the
        queue.
        """
        return self._queue[0].deadline if self._queue else None
