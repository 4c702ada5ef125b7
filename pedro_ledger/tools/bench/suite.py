"""The run: a warm-up of every row, then round after round of all rows, so that what changes over
time changes them alike.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pedro_ledger.tools.bench.copying import copy_rows
from pedro_ledger.tools.bench.daemon_counts import Counts, read_counts
from pedro_ledger.tools.bench.figures import RowResult, Sample
from pedro_ledger.tools.bench.generator import Job
from pedro_ledger.tools.bench.goals import GoalResult, judge
from pedro_ledger.tools.bench.loads import BenchError, Loaded, run_generator, run_wrk
from pedro_ledger.tools.bench.processes import Server
from pedro_ledger.tools.bench.rig import Rig
from pedro_ledger.tools.bench.rows import Row, Target

WARM_UP_S = 1
OWN = "own"


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How to run."""

    rows: Sequence[Row]
    repeats: int
    seconds: int
    """Of each run of a row."""
    wrk: str | None
    """Its path; None for our own generator."""


@dataclass(slots=True)
class BenchReport:
    """Everything that a run yields."""

    machine: dict[str, Any]
    versions: dict[str, str]
    plan: BenchPlan
    rows: dict[str, RowResult]
    facts: dict[str, float] = field(default_factory=dict)
    verified: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdicts(self) -> list[GoalResult]:
        """Every goal beside what was measured."""
        return judge(self.rows, self.facts)

    @property
    def is_sound(self) -> bool:
        """Whether every row ran without an error and every ledger is in order."""
        return all(row.is_sound for row in self.rows.values()) and all(each["status"] == 0 for each in self.verified)


DYING_S = 5.0
"""A daemon that closed a connection unasked gets so long to be seen to have ended."""


def run_rows(rig: Rig, plan: BenchPlan, on_run: Callable[[str], None]) -> dict[str, RowResult]:
    """Run every row of the plan; `on_run` is told what comes next."""
    results = {row.name: RowResult(row.name, row.connections, generator_of(row, plan)) for row in plan.rows}
    for row in plan.rows:
        on_run(f"warm-up: {row.name}")
        measure(rig, row, plan, WARM_UP_S)
    for number in range(1, plan.repeats + 1):
        for row in plan.rows:
            on_run(f"{number} of {plan.repeats}: {row.name}")
            results[row.name].samples.append(measure(rig, row, plan, plan.seconds))
    return results


def generator_of(row: Row, plan: BenchPlan) -> str:
    """Where the load of a row comes from."""
    if row.target is Target.COPY:
        return "asyncpg"
    return OWN if _is_own(row, plan) else "wrk"


def _is_own(row: Row, plan: BenchPlan) -> bool:
    return plan.wrk is None or row.batch > 1 or row.is_own


def measure(
    rig: Rig, row: Row, plan: BenchPlan, seconds: int, *, before_count: Callable[[Server], None] = lambda server: None
) -> Sample:
    """One run of one row. `before_count` is called between the end of the load and the end of the
    CPU's count.

    Raises `BenchError` where the process under test has ended.
    """
    if row.target is Target.COPY:
        return _measure_copy(rig, row, seconds)
    server = rig.server(row.target)
    job = Job(
        port=server.port,
        connections=row.connections,
        users_file=str(rig.users_file(row.target, is_hot=row.is_hot)),
        api_key=rig.api_key,
        key_prefix=secrets.token_hex(6),
        seconds=seconds,
        batch=row.batch,
        pairs=row.pairs,
    )
    before = _counts(server) if row.target.is_daemon else None
    cpu, postgres_cpu = server.cpu_s(), rig.databases.cpu_s()
    loaded = run_generator(job) if plan.wrk is None or _is_own(row, plan) else run_wrk(plan.wrk, job)
    server.check()
    before_count(server)
    cpu, postgres_cpu = _since(cpu, server.cpu_s()), _since(postgres_cpu, rig.databases.cpu_s())
    errors = loaded.errors | (_counts(server).errors_since(before) if before is not None else {})
    return _sample(loaded, errors, cpu, postgres_cpu)


def _counts(server: Server) -> Counts:
    """What the daemon has counted. A daemon that does not answer has ended, or is about to."""
    try:
        return read_counts(server.port)
    except (OSError, HTTPException) as error:
        server.check(DYING_S)
        raise BenchError(f"port {server.port} does not tell its metrics: {error}") from None


def _measure_copy(rig: Rig, row: Row, seconds: int) -> Sample:
    url = rig.copy_database()
    users = Path(rig.users_file(row.target, is_hot=False)).read_text().split()
    postgres_cpu = rig.databases.cpu_s()
    loaded = asyncio.run(copy_rows(url, users, row.batch, seconds))
    return _sample(loaded, loaded.errors, None, _since(postgres_cpu, rig.databases.cpu_s()))


def _sample(loaded: Loaded, errors: dict[str, int], cpu_s: float | None, postgres_cpu_s: float | None) -> Sample:
    in_all = loaded.operations_in_all
    return Sample(
        loaded.operations,
        loaded.seconds,
        loaded.latency,
        errors,
        None if cpu_s is None or not in_all else cpu_s / in_all * 1e6,
        None if postgres_cpu_s is None or not in_all else postgres_cpu_s / in_all * 1e6,
        in_all,
    )


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
