"""Running a coroutine on an event loop of its own, in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def off_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the coroutine that `make` makes returns, or raises. Cancelling cancels it there.

    The thread is a daemon: a process that ends does not wait for it.
    """
    here = asyncio.get_running_loop()
    done: asyncio.Future[T] = here.create_future()
    there: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

    async def job() -> T:
        task = asyncio.current_task()
        assert task is not None, "it runs in a task"
        there.append((asyncio.get_running_loop(), task))
        return await make()

    def run() -> None:
        result, error = None, None
        try:
            result = asyncio.run(job())
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop that waited is gone
            here.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="off_loop", daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        for loop, task in there:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        raise
