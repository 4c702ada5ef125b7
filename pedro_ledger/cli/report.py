"""`pedro-ledger report NAME`: a report as a table for people, or in one of the forms that the API
gives.
"""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases, open_reader
from pedro_ledger.reports.catalogue import REPORTS, Asked, ReportRow
from pedro_ledger.reports.formats import render
from pedro_ledger.settings import Settings
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.store.schema.standing import require_current
from pedro_ledger.telemetry.metrics import Metrics


class ReportForm(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


def command(
    name: Annotated[str, typer.Argument(help="Its name: " + ", ".join(REPORTS) + ".")],
    config: Config = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.")] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day after the last one, UTC.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only uses of this operation type.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    form: Annotated[ReportForm, typer.Option("--format", help="How to print it.")] = ReportForm.TABLE,
    as_json: AsJson = False,
) -> None:
    """Print a report on users, usage, or the credits owed."""
    if name not in REPORTS:
        fail(f"there is no report {name}; the reports are {', '.join(REPORTS)}")
    asked = Asked(since and since.date(), until and until.date(), operation, limit)
    for option, value in asked._asdict().items():
        if value is not None and option not in REPORTS[name].takes:
            fail(f"the report {name} takes no --{option}")
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, name, asked, "json" if as_json else form.value)))


async def main(settings: Settings, name: str, asked: Asked, form: str) -> int:
    """Returns the exit status: 2 where the report cannot be made."""
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(open_databases(settings))
        await require_current(databases.direct)
        await databases.primary.open()
        stack.push_async_callback(databases.primary.close)
        reader = ReportReader(await open_reader(databases, settings, stack, Metrics()))
        if asked.operation is not None and asked.operation not in (known := await reader.operation_types()):
            types = ", ".join(known)
            typer.echo(f"pedro-ledger: there is no operation type {asked.operation}; the types are {types}", err=True)
            return 2
        rows = await REPORTS[name].rows(reader, asked)
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
