"""Operations that wait while requests are under way travel together in the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pedro_ledger_client.retries import Failure

Line = dict[str, Any]
Answer = dict[str, Any] | Failure
"""A result of `POST /v1/operations`, or why the whole request has none."""


class Coalescer:
    """Sends at once while fewer than `requests_max` requests are under way; what comes meanwhile
    waits for the first of them to end, at most `lines_max` of it for one request.
    """

    def __init__(
        self, send: Callable[[Sequence[Line]], Awaitable[Sequence[Answer]]], *, requests_max: int, lines_max: int
    ) -> None:
        self._send = send
        self._requests_max = requests_max
        self._lines_max = lines_max
        self._waiting: deque[tuple[Line, asyncio.Future[Answer]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, line: Line) -> Answer:
        """The answer to one operation. A caller who is cancelled leaves the others alone."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, answer))
        if len(self._under_way) < self._requests_max:
            self._start()
        return await answer

    async def close(self) -> None:
        """End what is under way, without its answers."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _start(self) -> None:
        # The task takes what waits when it first runs: all that this turn of the loop asks for.
        task = asyncio.get_running_loop().create_task(self._run())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _run(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._lines_max))]
            taken = [each for each in taken if not each[1].done()]
            if not taken:
                continue
            try:
                answers = await self._send([line for line, _ in taken])
            except BaseException as error:
                for _, answer in taken:
                    if not answer.done():
                        answer.set_exception(error if isinstance(error, Exception) else ConnectionError("closed"))
                raise
            for (_, answer), found in zip(taken, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)
