"""`pedro-ledger webhooks`: deliveries that could not be applied, and paid billing periods without
credits.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.settings import Settings
from pedro_ledger.store.billing.deliveries import DeliveryDesk
from pedro_ledger.store.billing.inbox import State
from pedro_ledger.store.schema.standing import require_current

command = typer.Typer(
    help="List and retry webhooks that could not be applied.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Shown(StrEnum):
    """Which deliveries are listed."""

    WAITING = "waiting"
    REJECTED = "rejected"


@command.command("list")
def list_all(
    state: Annotated[Shown | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of each.")] = 100,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show deliveries that wait or were rejected, newest first, and paid billing periods without
    credits.
    """
    raise typer.Exit(
        run(show(settings_or_fail(config), None if state is None else State(state.value), limit, as_json=as_json))
    )


@command.command()
def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids that `webhooks list` shows.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait; rejected ones only by their id.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Have the daemon try again now what waits, or what was rejected."""
    if bool(ids) == everything:
        fail("name the deliveries, or --all")
    raise typer.Exit(run(hasten(settings_or_fail(config), ids if ids else None, as_json=as_json)))


async def show(settings: Settings, state: State | None, limit: int, *, as_json: bool) -> int:
    """Returns the exit status."""
    async with _desk(settings) as desk:
        deliveries = await desk.list_page(state, None, limit)
        periods = [] if state is State.REJECTED else await desk.list_credits_due(limit)
    if as_json:
        typer.echo(orjson.dumps({"deliveries": deliveries, "periodsWithoutCredits": periods}))
        return 0
    if not deliveries and not periods:
        typer.echo("nothing waits, nothing was rejected")
    if deliveries:
        _print(
            ("id", "event", "state", "reason", "detail"),
            [(each["id"], each["eventType"], each["state"], each["reason"], each["detail"]) for each in deliveries],
        )
    if periods:
        typer.echo(f"paid, without credits: {len(periods)}")
        _print(
            ("user", "provider", "subscription", "period", "reason", "detail"),
            [
                tuple(each[name] for name in ("userId", "provider", "subscription", "period", "reason", "detail"))
                for each in periods
            ],
        )
    return 0


async def hasten(settings: Settings, ids: Sequence[str] | None, *, as_json: bool) -> int:
    """Returns the exit status: 1 where an id names nothing that can be tried again."""
    async with _desk(settings) as desk:
        due = await desk.retry(ids)
    missing = [each for each in ids or () if each not in due]
    if as_json:
        typer.echo(orjson.dumps({"due": due, "missing": missing}))
    else:
        typer.echo(f"{len(due)} due: a daemon that runs tries them within seconds; pedro-ledger webhooks list")
        for each in missing:
            typer.echo(f"pedro-ledger: {each} cannot be tried again: it is done, unknown, or was never JSON", err=True)
    return 1 if missing else 0


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[DeliveryDesk]:
    async with open_databases(settings) as databases:
        await require_current(databases.direct)
        await databases.primary.open()
        try:
            yield DeliveryDesk(databases.primary)
        finally:
            await databases.primary.close()


def _print(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row))
    Console(width=None if Console().is_terminal else 200).print(table)
