"""Progress on standard error while a replay runs, for people; nothing where nobody looks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pedro_ledger.tools.replay.parallel import Stage

REFRESH_S = 0.25


class Screen:
    """One bar a stage.

    It looks at the stages four times a second; the stages know nothing of it.
    """

    def __init__(self, *, is_shown: bool) -> None:
        console = Console(stderr=True)
        self._is_shown = is_shown and console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Progress(*columns, console=console, auto_refresh=False, disable=not self._is_shown)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @asynccontextmanager
    async def stage(self, title: str, total: int, note: Callable[[], str] = str) -> AsyncIterator[Stage]:
        """A stage of `total` steps; `note` tells more beside its bar."""
        stage = Stage()
        if not self._is_shown:
            yield stage
            return
        task = self._progress.add_task(title, total=total, note="")
        watching = asyncio.create_task(self._watch(task, stage, note))
        try:
            yield stage
        finally:
            watching.cancel()
            self._show(task, stage, note)

    async def _watch(self, task: TaskID, stage: Stage, note: Callable[[], str]) -> None:
        while True:
            self._show(task, stage, note)
            await asyncio.sleep(REFRESH_S)

    def _show(self, task: TaskID, stage: Stage, note: Callable[[], str]) -> None:
        self._progress.update(task, completed=stage.done, note=note(), refresh=True)
