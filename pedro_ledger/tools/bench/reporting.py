"""The report of a run, for people and for machines.

A row with errors shows what they were, and no figure.
"""

from typing import Any

from rich.console import Console
from rich.table import Table

from pedro_ledger.tools.bench.figures import RowResult
from pedro_ledger.tools.bench.goals import GoalResult
from pedro_ledger.tools.bench.rows import ROWS
from pedro_ledger.tools.bench.suite import BenchReport


def report_json(report: BenchReport) -> dict[str, Any]:
    """Everything, rates in operations a second, latencies in milliseconds, CPU in microseconds an
    operation.
    """
    plan = report.plan
    return {
        "machine": report.machine,
        "versions": report.versions,
        "plan": {"repeats": plan.repeats, "seconds": plan.seconds, "rows": [row.name for row in plan.rows]},
        "rows": [_row_json(row) for row in report.rows.values()],
        "facts": {name: round(value, 3) for name, value in report.facts.items()},
        "goals": [_goal_json(verdict) for verdict in report.verdicts],
        "verify": report.verified,
        "sound": report.is_sound,
    }


def _row_json(row: RowResult) -> dict[str, Any]:
    spread, latency = row.spread(), row.latency()
    return {
        "name": row.name,
        "connections": row.connections,
        "generator": row.generator,
        "rate": _rounded(row.rate(), 1),
        "spread": None if spread is None else [round(rate, 1) for rate in spread],
        "samples": [round(sample.rate, 1) for sample in row.samples] if row.is_sound else None,
        "latencyMs": None
        if latency is None
        else {name.removesuffix("_ms"): round(value, 3) for name, value in latency._asdict().items()},
        "serverCpuMicros": _rounded(row.server_cpu_us(), 1),
        "postgresCpuMicros": _rounded(row.postgres_cpu_us(), 1),
        "errors": row.errors,
    }


def _goal_json(verdict: GoalResult) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "atLeast" if verdict.is_floor else "atMost": verdict.limit,
        "measured": _rounded(verdict.measured, 3),
        "reached": verdict.reached,
    }


def print_report(report: BenchReport, console: Console) -> None:
    """Tables."""
    machine, plan = report.machine, report.plan
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memoryGiB']} GiB, {machine['system']}, "
        f"fsync {machine['fsyncMs']} ms, load before {machine['loadBefore']}"
    )
    console.print(", ".join(f"{name} {version}" for name, version in report.versions.items()))
    console.print(
        f"{plan.repeats} rounds, {plan.seconds} s a row; medians; cpu: the process under test, pg: PostgreSQL, both an operation"
    )
    for row in ROWS:
        if row.name in report.rows:
            console.print(f"  {row.name}: {row.what}")
    console.print(_rows_table(report))
    for result in report.rows.values():
        if not result.is_sound:
            console.print(f"[red]no figure for {result.name}[/red], it met errors: {result.errors or 'it did not run'}")
    for name, value in report.facts.items():
        console.print(f"{name.replace('_', ' ')}: {value:,.2f}")
    console.print(_goals_table(report.verdicts))
    for each in report.verified:
        console.print(f"verify {each['database']}: {'in order' if each['status'] == 0 else 'FAILED'} {each['says']}")


def _rows_table(report: BenchReport) -> Table:
    table = Table()
    table.add_column("row", no_wrap=True)
    for title in ("conns", "load", "op/s", "slowest", "fastest", "p50 ms", "p90 ms", "p99 ms", "cpu µs", "pg µs"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in report.rows.values():
        rate, spread, latency = row.rate(), row.spread(), row.latency()
        if rate is None or spread is None:
            table.add_row(row.name, str(row.connections), row.generator, "[red]errors[/red]")
            continue
        table.add_row(
            row.name,
            str(row.connections),
            row.generator,
            f"{rate:,.0f}",
            *(f"{each:,.0f}" for each in spread),
            *(["-"] * 3 if latency is None else [f"{value:.2f}" for value in latency]),
            *("-" if cpu is None else f"{cpu:.0f}" for cpu in (row.server_cpu_us(), row.postgres_cpu_us())),
        )
    return table


def _goals_table(verdicts: list[GoalResult]) -> Table:
    table = Table()
    table.add_column("goal")
    for title in ("limit", "measured"):
        table.add_column(title, justify="right")
    table.add_column("reached")
    for verdict in verdicts:
        limit = f"{'at least' if verdict.is_floor else 'at most'} {verdict.limit:g}"
        if verdict.measured is None:
            table.add_row(verdict.name, limit, "not measured", "-")
        else:
            reached = "[green]yes[/green]" if verdict.reached else "[red]no[/red]"
            table.add_row(verdict.name, limit, f"{verdict.measured:.2f}", reached)
    return table


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
