"""What is to be reached, each a ratio in one run on a machine that also runs PostgreSQL and the
load.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pedro_ledger.tools.bench.figures import RowResult, ratio

Rows = Mapping[str, RowResult]
Facts = Mapping[str, float]
"""What is measured once and is no rate: by name, the unit last in it."""


class Goal(NamedTuple):
    """One line of the table of goals."""

    name: str
    limit: float
    is_floor: bool
    """Whether the measure must be at least the limit; else at most."""
    measure: Callable[[Rows, Facts], float | None]


class GoalResult(NamedTuple):
    """A goal beside what was measured; None where this run did not measure it."""

    name: str
    limit: float
    is_floor: bool
    measured: float | None

    @property
    def reached(self) -> bool | None:
        """None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.is_floor else self.measured <= self.limit


def _rates(above: str, below: str) -> Callable[[Rows, Facts], float | None]:
    return lambda rows, _: ratio(_rate(rows, above), _rate(rows, below))


def _rate(rows: Rows, name: str) -> float | None:
    return rows[name].rate() if name in rows else None


def _cpu(rows: Rows, name: str) -> float | None:
    return rows[name].server_cpu_us() if name in rows else None


def _p99(rows: Rows, name: str) -> float | None:
    latency = rows[name].latency() if name in rows else None
    return None if latency is None else latency.p99_ms


def _fact(name: str) -> Callable[[Rows, Facts], float | None]:
    return lambda _, facts: facts.get(name)


GOALS = (
    Goal("single / echo, 64 connections", 0.60, True, _rates("single-64", "echo")),
    Goal("single / echo, 256 connections", 0.60, True, _rates("single-256", "echo")),
    Goal("hot / echo", 0.70, True, _rates("hot", "echo")),
    Goal("cpu: single / echo", 1.5, False, lambda rows, _: ratio(_cpu(rows, "single-64"), _cpu(rows, "echo"))),
    Goal("p99: single / echo", 3, False, lambda rows, _: ratio(_p99(rows, "single-64"), _p99(rows, "echo"))),
    Goal("batch / copy", 0.60, True, _rates("batch", "copy")),
    Goal("single / function", 2.2, True, _rates("single-64", "function")),
    Goal("hot / function hot", 3.5, True, _rates("hot", "function-hot")),
    Goal("remote: single / function", 4, True, _rates("remote-single", "remote-function")),
    Goal("remote: hot / function hot", 15, True, _rates("remote-hot", "remote-function-hot")),
    Goal("size: single, large / empty", 0.90, True, _rates("size-single", "single-64")),
    Goal("lots: single, 8 grants that end / none", 0.80, True, _rates("lots", "single-64")),
    Goal("holds: hold and capture / single", 0.45, True, _rates("hold+capture", "single-own")),
    Goal("memory: KiB a resident account", 2, False, _fact("account_resident_kib")),
    Goal("memory: MiB with all accounts resident", 300, False, _fact("daemon_resident_mib")),
    Goal("cold: first touch / warm", 0.50, True, _fact("cold_to_warm_ratio")),
)


def judge(rows: Rows, facts: Facts) -> list[GoalResult]:
    """Every goal beside what was measured."""
    return [GoalResult(goal.name, goal.limit, goal.is_floor, goal.measure(rows, facts)) for goal in GOALS]
