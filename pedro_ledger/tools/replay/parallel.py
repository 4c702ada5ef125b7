"""Many calls at once, never more than so many."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Stage:
    """How far a part of the replay is; what shows progress looks at it, so that counting costs a
    request nothing.
    """

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = 0


async def in_parallel(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int, stage: Stage | None = None
) -> None:
    """Run `work` on each of `items`, begun in their order, `workers` at once.

    The first error ends all and is raised.
    """
    waiting = iter(items)
    stage = stage or Stage()

    async def worker() -> None:
        for item in waiting:
            await work(item)
            stage.done += 1

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
