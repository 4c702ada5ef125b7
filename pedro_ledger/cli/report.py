"""`pedro-ledger report NAME`: a report as a table for people, or in one of the forms that the API gives."""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import typer
from rich.console import Console
from rich.table import Table

from pedro_ledger.daemon.databases import open_databases, open_reader
from pedro_ledger.reports.catalogue import REPORTS, Asked, ReportRow
from pedro_ledger.reports.formats import render
from pedro_ledger.settings import Settings
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.store.schema.migrations import pending
from pedro_ledger.telemetry.metrics import Metrics


async def main(settings: Settings, name: str, asked: Asked, form: str) -> int:
    """Returns the exit status: 2 where the report cannot be made."""
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(open_databases(settings))
        behind = await pending(databases.direct)
        if behind:
            typer.echo(f"pedro-ledger: the database lacks {behind[0].name}: run pedro-ledger migrate first", err=True)
            return 2
        await databases.primary.open()
        stack.push_async_callback(databases.primary.close)
        reader = await open_reader(databases, settings, stack, Metrics())
        rows = await REPORTS[name].rows(ReportReader(reader), asked)
    if form == "table":
        _print_table(name, rows)
    else:
        text = render(name, rows, form).decode()
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    return 0


def _print_table(name: str, rows: Sequence[ReportRow]) -> None:
    report = REPORTS[name]
    table = Table(caption=report.about, caption_justify="left")
    for column in report.columns:
        is_text = all(isinstance(row[column], str) for row in rows)
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in row.values()))
    Console().print(table)
