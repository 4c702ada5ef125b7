"""One call of the command with `--against`: both checkouts are found, run in turn, verified by
their own code, and reported.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import orjson
import typer

from pedro_ledger.tools.bench.checkouts import Checkout, ask, other_checkout, this_checkout
from pedro_ledger.tools.bench.databases import Databases
from pedro_ledger.tools.bench.machine import describe_machine
from pedro_ledger.tools.bench.paired_reporting import paired_report_json, print_paired_report
from pedro_ledger.tools.bench.pairing import POSTGRES_SETTINGS, PairedReport, estimate_s, make_rigs, run_pairs
from pedro_ledger.tools.bench.session import Options, describe_generator, progress, wide_console


def compare(options: Options, folder: Path, against: Path, margin: float, *, as_json: bool) -> bool:
    """Run and print; a ratio within `margin` of 1 is taken for equal.

    Returns whether every row and ledger was sound.
    """
    checkouts = [ask(this_checkout()), ask(other_checkout(against))]
    if not as_json:
        minutes = estimate_s(options.plan) / 60
        typer.echo(f"{options.repeats} pairs of {len(options.rows)} rows: about {minutes:.1f} minutes", err=True)
    with progress(quiet=as_json) as on_run:
        report = run_comparison(options, checkouts, folder, on_run)
    if as_json:
        typer.echo(orjson.dumps(paired_report_json(report, margin)))
    else:
        print_paired_report(report, margin, wide_console())
    return report.is_sound


def run_comparison(
    options: Options, checkouts: list[Checkout], folder: Path, on_run: Callable[[str], None]
) -> PairedReport:
    """Everything but the printing."""
    plan = options.plan
    machine = describe_machine(folder)
    with Databases(folder, bin_dir=options.postgres_bin, settings=POSTGRES_SETTINGS) as databases, ExitStack() as stack:
        rigs = make_rigs(databases, checkouts, folder)
        for rig in rigs.values():
            stack.enter_context(rig)
        versions = {"postgresql": databases.version(), "generator": describe_generator(plan)}
        rows, operations = run_pairs(rigs, plan, on_run)
        for rig in rigs.values():
            rig.stop_servers()
        on_run("verify")
        verified = [found for rig in rigs.values() for found in rig.verify()]
    named = {checkout.name: checkout for checkout in checkouts}
    return PairedReport(machine, versions, plan, named, rows, operations, verified)
