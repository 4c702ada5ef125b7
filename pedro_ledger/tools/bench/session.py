"""One call of the command from start to end: the rig is made, rows run, ledgers are verified, the
report is printed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer
from rich.console import Console

from pedro_ledger.tools.bench.checkouts import this_checkout
from pedro_ledger.tools.bench.databases import Databases
from pedro_ledger.tools.bench.loads import wrk_version
from pedro_ledger.tools.bench.machine import describe_machine, describe_versions
from pedro_ledger.tools.bench.profiling import print_profile, profile_json, take_profile
from pedro_ledger.tools.bench.reporting import print_report, report_json
from pedro_ledger.tools.bench.resident import measure_resident
from pedro_ledger.tools.bench.rig import Rig
from pedro_ledger.tools.bench.rows import ROWS, Row, Target
from pedro_ledger.tools.bench.suite import OWN, BenchPlan, BenchReport, run_rows

WIDTH = 124


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller asked for."""

    rows: Sequence[Row]
    repeats: int
    seconds: int
    wrk: str | None
    size_users: int
    size_entries: int
    postgres_bin: Path | None

    @property
    def plan(self) -> BenchPlan:
        """How to run."""
        return BenchPlan(self.rows, self.repeats, self.seconds, self.wrk)


def measure(options: Options, folder: Path, *, as_json: bool) -> bool:
    """Run and print. Returns whether every row and every ledger was sound."""
    with progress(quiet=as_json) as on_run:
        report = run(options, folder, on_run)
    if as_json:
        typer.echo(orjson.dumps(report_json(report)))
    else:
        print_report(report, wide_console())
    return report.is_sound


def run(options: Options, folder: Path, on_run: Callable[[str], None]) -> BenchReport:
    """Everything but the printing."""
    plan = options.plan
    machine = describe_machine(folder)
    with _rig(options, folder) as rig:
        versions = describe_versions(rig.databases.version(), describe_generator(plan))
        if any(row.target is Target.SIZE_DAEMON for row in plan.rows):
            on_run(f"loading {options.size_users:,} users with {options.size_entries:,} entries")
            rig.server(Target.SIZE_DAEMON)
        report = BenchReport(machine, versions, plan, run_rows(rig, plan, on_run))
        if any(row.group == "remote" for row in plan.rows):
            report.facts |= rig.databases.round_trips_ms()
        if any(row.target is Target.SIZE_DAEMON for row in plan.rows):
            report.facts |= measure_resident(rig, plan.repeats, on_run)
        rig.stop_servers()
        on_run("verify")
        report.verified = rig.verify()
    return report


def profile(options: Options, folder: Path, name: str, *, as_json: bool) -> None:
    """Print where the daemon's time goes under the row of this name, or the first row of this
    group.
    """
    row = next((row for row in ROWS if name in {row.name, row.group} and row.target.is_daemon), None)
    if row is None:
        raise ValueError(f"--profile: no row of the daemon is called {name!r}")
    with progress(quiet=as_json) as on_run:
        taken = take_profile(lambda: _rig(options, folder), row, options.plan, on_run)
    if as_json:
        typer.echo(orjson.dumps(profile_json(taken)))
    else:
        print_profile(taken, wide_console())


@contextmanager
def _rig(options: Options, folder: Path) -> Iterator[Rig]:
    with (
        Databases(folder, bin_dir=options.postgres_bin) as databases,
        Rig(
            databases, this_checkout(), folder, size_users=options.size_users, size_entries=options.size_entries
        ) as rig,
    ):
        yield rig


def describe_generator(plan: BenchPlan) -> str:
    """What makes the load, with its version."""
    return f"{OWN} (uvloop)" if plan.wrk is None else f"{wrk_version(plan.wrk)}; {OWN} (uvloop) for batches"


def wide_console() -> Console:
    """A console on which no figure is cut off, also where the output is no terminal."""
    return Console(width=max(WIDTH, Console().width))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Takes what happens now, and shows it on standard error where that is a terminal."""
    console = Console(stderr=True, quiet=quiet)
    with console.status("starting PostgreSQL") as status:
        yield status.update
