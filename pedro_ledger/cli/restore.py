"""`pedro-ledger restore`."""

from pathlib import Path
from typing import Annotated

import typer

from pedro_ledger.cli import verify
from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.backups import ArchiveError, restored_archive
from pedro_ledger.store.schema.migrations import migrate


def command(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    config: Config = None,
    no_privileges: Annotated[
        bool, typer.Option("--no-privileges", help="Leave out grants, where the server lacks their roles.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, all or nothing, migrate it and verify it."""
    settings = settings_or_fail(config)
    raise typer.Exit(run(restore(settings, file, drop_grants=no_privileges, as_json=as_json)))


async def restore(settings: Settings, file: Path, *, drop_grants: bool, as_json: bool) -> int:
    """Returns the exit status, which is that of `verify`."""
    _check_source(file)
    async with open_databases(settings) as databases:
        async with restored_archive(databases.direct, file, drop_grants=drop_grants) as tables:
            steps = await migrate(databases.direct)
        if not as_json:
            typer.echo(f"restored {tables} tables into {databases.direct.url.label}")
            for step in steps:
                typer.echo(f"applied  {step.migration.name}")
    return await verify.main(settings, as_json=as_json)


def _check_source(file: Path) -> None:
    if not file.is_file():
        raise ArchiveError(f"{file} is no file: name a backup that pedro-ledger backup made.")
