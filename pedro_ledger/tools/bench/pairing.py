"""Two checkouts in turn: every row on one and then on the other, pair after pair, on one server,
each with databases of its own.

Pairs alternate (this, other), (other, this), …: what changes steadily over time favours each of
them alike. What a run leaves for later counts as its own: the count of CPU ends when nothing is
left to do. Between runs, uncounted, the database is vacuumed and a checkpoint written, so that none
of that falls into the run of either.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pedro_ledger.tools.bench.checkouts import Checkout
from pedro_ledger.tools.bench.databases import Databases
from pedro_ledger.tools.bench.figures import Sample
from pedro_ledger.tools.bench.processes import Server
from pedro_ledger.tools.bench.ratios import Pair, PairedRow
from pedro_ledger.tools.bench.rig import Rig
from pedro_ledger.tools.bench.rows import Row
from pedro_ledger.tools.bench.suite import WARM_UP_S, BenchPlan, generator_of, measure

POSTGRES_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "16GB"}
"""Housekeeping takes place between runs."""
ROLLUP_SETTINGS = ("rollup_interval_s", "reports_fold_s")
"""The names that this setting has had."""
ROLLUP_INTERVAL_S = 1
SETTLE_S = 1.3 * ROLLUP_INTERVAL_S
"""After a load, so long at least: rollups are made once more in this time."""
SETTLE_MAX_S = 30.0
QUIET_S = 0.3
QUIET_SHARE = 0.05
"""Of a core: a daemon and a server that do nothing but look whether there is something to do take
less.
"""
BETWEEN_S = 2.5
"""About what a run takes beside its load; for the estimate."""


@dataclass(slots=True)
class PairedReport:
    """Everything that a run over two checkouts yields."""

    machine: dict[str, Any]
    versions: dict[str, str]
    """Of what both share: PostgreSQL and the load generator."""
    plan: BenchPlan
    """Its `repeats` are the pairs."""
    checkouts: dict[str, Checkout]
    """`this` and `other`."""
    rows: dict[str, PairedRow]
    operations: dict[str, int]
    """Counted operations by checkout, of all runs."""
    verified: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether every row ran without an error and every ledger is in order."""
        return all(row.is_sound for row in self.rows.values()) and all(each["status"] == 0 for each in self.verified)


def estimate_s(plan: BenchPlan) -> float:
    """About how long the pairs take, seconds."""
    return 2 * len(plan.rows) * (plan.repeats * (plan.seconds + BETWEEN_S) + WARM_UP_S + BETWEEN_S)


def make_rigs(databases: Databases, checkouts: Sequence[Checkout], folder: Path) -> dict[str, Rig]:
    """A rig for each checkout, by its name."""
    rigs = {}
    for checkout in checkouts:
        place = folder / checkout.name
        place.mkdir()
        rigs[checkout.name] = Rig(databases, checkout, place, prefix=checkout.name, settings=daemon_settings(checkout))
    return rigs


def daemon_settings(checkout: Checkout) -> dict[str, str]:
    """Rollups follow each run closely, under whatever name the checkout has for their interval."""
    known = [name for name in ROLLUP_SETTINGS if name in checkout.settings]
    return {f"PEDRO_{name.upper()}": str(ROLLUP_INTERVAL_S) for name in known[:1]}


def run_pairs(
    rigs: Mapping[str, Rig], plan: BenchPlan, on_run: Callable[[str], None]
) -> tuple[dict[str, PairedRow], dict[str, int]]:
    """Run every row `plan.repeats` times on each of the two rigs.

    Returns the pairs by row, and the operations by checkout.
    """
    names = list(rigs)
    results = {row.name: PairedRow(row.name, row.connections, generator_of(row, plan)) for row in plan.rows}
    operations = dict.fromkeys(rigs, 0)

    def run(name: str, row: Row, seconds: int) -> Sample:
        rig = rigs[name]
        _tidy(rig)
        sample = measure(rig, row, plan, seconds, before_count=lambda server: _settle(rig, server))
        for each in rigs.values():
            each.check()
        operations[name] += sample.operations_in_all
        return sample

    for row in plan.rows:
        for name in names:
            on_run(f"warm-up: {row.name}, {name}")
            run(name, row, WARM_UP_S)
    for rig in rigs.values():
        _analyze(rig)
    for number in range(plan.repeats):
        for row in plan.rows:
            order = names if number % 2 == 0 else names[::-1]
            samples = {}
            for name in order:
                on_run(f"pair {number + 1} of {plan.repeats}: {row.name}, {name}")
                samples[name] = run(name, row, plan.seconds)
            results[row.name].pairs.append(Pair(order[0], samples["this"], samples["other"]))
    return results, operations


def _settle(rig: Rig, server: Server) -> None:
    """Wait until the daemon and PostgreSQL are quiet, and have had the time for what they do at
    intervals.
    """

    def spent_s() -> float:
        return (server.cpu_s() or 0.0) + (rig.databases.cpu_s() or 0.0)

    time.sleep(SETTLE_S)
    deadline, before = time.monotonic() + SETTLE_MAX_S, spent_s()
    while time.monotonic() < deadline:
        time.sleep(QUIET_S)
        now = spent_s()
        if now - before < QUIET_S * QUIET_SHARE:
            return
        before = now


def _tidy(rig: Rig) -> None:
    async def tidy(connection: Any) -> None:
        await connection.execute("VACUUM")
        await connection.execute("CHECKPOINT")

    for name in rig.ledgers():
        rig.databases.sql(name, tidy)


def _analyze(rig: Rig) -> None:
    for name in rig.ledgers():
        rig.databases.sql(name, lambda connection: connection.execute("ANALYZE"))
