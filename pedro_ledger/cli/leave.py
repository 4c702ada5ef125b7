"""`pedro-ledger leave`."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.backup import check_target, write_archive
from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.leaving import LeaveError, Leaving, drop_ledger, leave, plan_leaving


def command(
    config: Config = None,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing; list what would be taken out.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Also remove the ledger's own tables for good; needs --backup.")
    ] = False,
    backup: Annotated[Path | None, typer.Option(help="With --drop: write a backup to this new file first.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take the ledger out of use: the app writes its tables as before; `migrate` brings it back."""
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, plan=plan, drop=drop, backup=backup, as_json=as_json)))


async def main(settings: Settings, *, plan: bool, drop: bool, backup: Path | None, as_json: bool) -> int:
    """Returns the exit status. Raises `LeaveError` and `ArchiveError`."""
    if drop != (backup is not None):
        raise LeaveError(
            "--drop removes every entry for good and needs a backup made first: leave --drop --backup FILE."
        )
    if backup is not None:
        check_target(backup, replace=False)
    async with open_databases(settings) as databases:
        if plan:
            left = await plan_leaving(databases.direct)
        else:
            left = await leave(databases.direct)
            if backup is not None:
                # Afterwards, so that nothing that was acknowledged is missing in it.
                await write_archive(databases.direct, backup)
                await drop_ledger(databases.direct)
    if as_json:
        typer.echo(
            orjson.dumps(
                {
                    "isDone": not plan,
                    "wasAway": left.was_away,
                    "guards": [{"table": table, "name": name} for table, name in left.guards],
                    "foreignKeys": left.foreign_keys,
                    "isDropped": drop and not plan,
                }
            )
        )
    else:
        typer.echo("\n".join(_lines(left, plan=plan, backup=backup if drop else None)))
    return 0


def _lines(left: Leaving, *, plan: bool, backup: Path | None) -> list[str]:
    would = "would be " if plan else ""
    lines = [f"{would}removed   {name} on {table}" for table, name in left.guards]
    lines += [f"{would}enforced  {name}" for name in left.foreign_keys]
    if left.was_away:
        lines.append("the ledger was out of use already")
    if backup is not None:
        what = "would go" if plan else "is gone"
        return [*lines, f"the schema pedro_ledger {what}; pedro-ledger restore {backup} into another database shows it"]
    if not plan:
        lines.append("the app writes as before, and daemons cannot; pedro-ledger migrate brings the ledger back")
    return lines
