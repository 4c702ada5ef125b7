"""The loop of the background jobs, in virtual time: what ends a tick does not end it, and is told
of once, then now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from pedro_ledger.daemon.looper import BACKOFF_LONGEST_S, VITAL_BACKOFF_LONGEST_S, Looper
from pedro_ledger.ledger.errors import SchemaChanged, Unavailable
from pedro_ledger.telemetry.metrics import Metrics
from tests.system.simulation import virtual_time

UNIX_S = 1_800_000_000.0
Script = Callable[[], Awaitable[Any]]


class Job:
    """Takes its ticks from a script, the last of them for ever, and notes when each began."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.began: list[float] = []
        self.running = 0

    async def tick(self) -> float | None:
        assert self.running == 0, "two ticks at once"
        self.running += 1
        try:
            self.began.append(round(asyncio.get_running_loop().time(), 6))
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(step, BaseException):
                raise step
            return await step() if callable(step) else step  # type: ignore[no-any-return]
        finally:
            self.running -= 1


class Watched:
    """A looper over a job, for some seconds of virtual time."""

    def __init__(self, job: Job, every_s: float = 10, **more: Any) -> None:
        loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self.looper = Looper(
            "job", job.tick, every_s, self.metrics,
            wall_clock_s=lambda: UNIX_S + loop.time(), jitter=lambda: 1.0, **more,
        )  # fmt: skip
        self.task = asyncio.create_task(self.looper.run())

    async def until(self, at_s: float) -> None:
        await asyncio.sleep(at_s - asyncio.get_running_loop().time())

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"pedro_ledger_loop_{name}", {"loop": "job"})

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        virtual_time.run(test())

    run.__name__ = test.__name__
    return run


@in_virtual_time
async def test_turns_come_at_the_loops_pace_or_when_the_job_says() -> None:
    job = Job(None, None, 3, 0.5, None)
    watched = Watched(job)
    await watched.until(40)
    assert job.began == [0, 10, 20, 23, 23.5, 33.5]
    assert watched.metric("last_success_seconds") == UNIX_S + 33.5
    await watched.end()


@in_virtual_time
async def test_what_was_done_at_the_start_is_not_done_again_at_once() -> None:
    job = Job(None)
    watched = Watched(job, starts_now=False)
    assert (watched.metric("failures_total"), watched.metric("last_success_seconds")) == (0, UNIX_S)
    await watched.until(25)
    assert job.began == [10, 20]
    await watched.end()


@in_virtual_time
async def test_no_exception_ends_it_and_pauses_double_while_it_fails() -> None:
    class OfNobodysTree(BaseException):
        pass

    async def cancelled_from_within() -> None:
        waited_for = asyncio.get_running_loop().create_future()
        waited_for.cancel()
        await waited_for

    job = Job(ValueError("a"), Unavailable("b"), OfNobodysTree(), cancelled_from_within, OSError(), None)
    watched = Watched(job)
    await watched.until(14)
    assert job.began == [0, 1, 3, 7]
    assert (watched.metric("failures_total"), watched.metric("last_success_seconds")) == (4, UNIX_S)
    assert watched.looper.failure == "RuntimeError"
    assert watched.looper.failing_s == watched.metric("failing_seconds") == 14
    await watched.until(45)
    assert job.began == [0, 1, 3, 7, 15, 31, 41]
    assert (watched.metric("failures_total"), watched.metric("last_success_seconds")) == (5, UNIX_S + 41)
    assert (watched.looper.failure, watched.looper.failing_s, watched.metric("failing_seconds")) == ("", 0, 0)
    await watched.end()


@pytest.mark.parametrize(
    ("every_s", "longest_s", "is_vital"),
    [
        (0.25, 2.5, False),
        (5, 50, False),
        (3600, BACKOFF_LONGEST_S, False),
        (0.05, 1, True),
        (1, VITAL_BACKOFF_LONGEST_S, True),
        (3600, VITAL_BACKOFF_LONGEST_S, True),
    ],
)
def test_pauses_are_bounded_by_the_loops_pace_and_jittered(every_s: float, longest_s: float, is_vital: bool) -> None:
    """A replica gets no traffic while a vital loop fails, so it must find out soon that the
    database is back.
    """

    async def fail_for_long() -> None:
        job = Job(ValueError())
        watched = Watched(job, every_s, is_vital=is_vital)
        watched.looper._jitter = lambda: 0.0
        await watched.until(5000)
        pauses = [b - a for a, b in zip(job.began, job.began[1:], strict=False)]
        assert pauses[0] == 0.5
        assert max(pauses) == pauses[-1] == longest_s / 2
        await watched.end()

    virtual_time.run(fail_for_long())


@in_virtual_time
async def test_a_failure_is_logged_once_then_once_a_minute_and_its_end_once() -> None:
    job = Job(*[ValueError("first line\nDETAIL: of a row")] * 60, None)
    with capture_logs() as logs:
        watched = Watched(job, every_s=0.3)
        await watched.until(400)
        await watched.end()
    assert [line["event"] for line in logs] == ["loop_failed"] * 3 + ["loop_recovered"]
    assert [line["loop"] for line in logs] == ["job"] * 4
    assert [line["log_level"] for line in logs] == ["error", "error", "error", "info"]
    assert [line["failing_s"] for line in logs[:3]] == [0, 60, 120]
    assert [line["failures"] for line in logs] == [1, 22, 42, 60]
    assert {line["reason"] for line in logs[:3]} == {"ValueError: first line"}
    assert [isinstance(line.get("exc_info"), ValueError) for line in logs[:3]] == [True, False, False]


@in_virtual_time
async def test_another_kind_of_error_is_logged_with_its_own_traceback_and_an_absent_database_without() -> None:
    away = Unavailable("The database cannot be asked now.")
    away.__cause__ = ConnectionRefusedError("by 10.0.0.1")
    changed = SchemaChanged("The column is gone.")
    changed.__cause__ = LookupError("of a row")
    job = Job(*[away] * 61, *[changed] * 60, *[KeyError("k")] * 60, None)
    with capture_logs() as logs:
        watched = Watched(job, every_s=0.1)
        await watched.until(200)
        await watched.end()
    assert [(line["reason"], line["log_level"], line["exc_info"] is not None) for line in logs[:-1]] == [
        ("ConnectionRefusedError", "warning", False),
        ("ConnectionRefusedError", "warning", False),
        ("LookupError: The column is gone.", "error", True),
        ("KeyError: 'k'", "error", True),
    ]


@in_virtual_time
async def test_a_job_that_fails_every_other_time_does_not_fill_the_log() -> None:
    job = Job(*[ValueError("odd"), None] * 100, None)
    with capture_logs() as logs:
        watched = Watched(job, every_s=0.5)
        await watched.until(149)
        await watched.end()
    assert watched.metric("failures_total") == 100
    assert [line["event"] for line in logs] == ["loop_failed", "loop_recovered"] * 3


@in_virtual_time
async def test_a_turn_that_hangs_is_cut_off_and_has_failed() -> None:
    job = Job(lambda: asyncio.sleep(3600), None)
    with capture_logs() as logs:
        watched = Watched(job, tick_timeout_s=30)
        await watched.until(29)
        assert watched.looper.failing_s == 0
        await watched.until(30.5)
        assert (watched.looper.failing_s, watched.looper.failure) == (30.5, "TimeoutError")
        await watched.until(45)
        await watched.end()
    assert job.began == [0, 31, 41]
    assert (watched.metric("failures_total"), watched.looper.failing_s) == (1, 0)
    assert [line["event"] for line in logs] == ["loop_failed", "loop_recovered"]
    assert logs[0]["reason"] == "TimeoutError: the tick took more than 30 s"


@in_virtual_time
async def test_a_turn_that_hangs_in_its_own_cleanup_too_is_cancelled_again_and_never_has_another_beside_it() -> None:
    cleanups = 0

    async def hang() -> None:
        nonlocal cleanups
        try:
            await asyncio.sleep(3600)
        finally:
            while cleanups < 6:
                cleanups += 1
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(3600)  # a rollback to a server that fell silent

    job = Job(hang, None)
    watched = Watched(job, tick_timeout_s=5)
    await watched.until(10.5)
    assert (cleanups, job.began, watched.looper.failing_s) == (6, [0], 10.5)
    await watched.until(35)
    assert job.began == [0, 12, 22, 32]
    assert watched.metric("failures_total") == 1
    await watched.end()


@in_virtual_time
async def test_what_a_cut_off_turn_ends_with_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def end_badly() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("instead of ending")

    job = Job(end_badly)
    watched = Watched(job, tick_timeout_s=5)
    await watched.until(8)
    await watched.end()
    assert job.running == 0
    assert complaints == []


@in_virtual_time
async def test_cancelling_it_cancels_the_turn_and_waits_for_its_end() -> None:
    ended_at: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.5)
            ended_at.append(asyncio.get_running_loop().time())

    watched = Watched(Job(work))
    await watched.until(2)
    await watched.end()
    assert watched.task.cancelled()
    assert ended_at == [2.5]
    assert watched.metric("failures_total") == 0


@in_virtual_time
async def test_a_turn_that_will_not_end_does_not_keep_the_daemon_from_ending() -> None:
    is_over = asyncio.Event()

    async def stay() -> None:
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:
                continue

    watched = Watched(Job(stay))
    await watched.until(1)
    await watched.end()
    assert asyncio.get_running_loop().time() == 4
    is_over.set()
