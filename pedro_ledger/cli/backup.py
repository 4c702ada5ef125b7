"""`pedro-ledger backup`."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.postgres.database import Database
from pedro_ledger.proofs.fsync import sync
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.backups import Archive, ArchiveError, make_archive


def command(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; a name with the time without it.")] = None,
    config: Config = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write both schemas to one file that is read back before it gets its name; the daemon goes on
    serving.
    """
    settings = settings_or_fail(config)
    raise typer.Exit(run(back_up(settings, file or default_file(), replace=replace, as_json=as_json)))


def default_file() -> Path:
    """A name for a backup made now, in the current folder."""
    return Path(f"pedro-ledger-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump")


async def back_up(settings: Settings, file: Path, *, replace: bool, as_json: bool) -> int:
    """Returns the exit status.

    Raises `ArchiveError` and `ProgramError`; then no file of that name was made or changed.
    """
    check_target(file, replace=replace)
    async with open_databases(settings) as databases:
        archive = await write_archive(databases.direct, file)
    size = await asyncio.to_thread(os.path.getsize, file)
    if as_json:
        typer.echo(orjson.dumps({"file": str(file), "bytes": size, **archive._asdict()}))
        return 0
    typer.echo(
        f"{file}: {size:,} bytes, {archive.tables} tables, {archive.users} accounts with {archive.entries} entries and "
        f"{archive.credits} credits; everything that was acknowledged before {archive.cut_at:%Y-%m-%dT%H:%M:%S.%f%z} is in it"
    )
    typer.echo(
        "read back to its end; keep it where the database is not, and try pedro-ledger restore before you need it"
    )
    return 0


async def write_archive(database: Database, file: Path) -> Archive:
    """The archive at `file`, whole and on the disk, or nothing there: it is written beside, read
    again, then renamed.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}.partial")
    # The server's client programs keep the mode of a file that is there.
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        archive = await make_archive(database, fresh)
        await asyncio.to_thread(sync, fresh)
        fresh.rename(file)
        await asyncio.to_thread(sync, file.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return archive


def check_target(file: Path, *, replace: bool) -> None:
    """Raises `ArchiveError` where no backup can be written to `file`."""
    if not file.parent.is_dir():
        raise ArchiveError(f"The folder {file.parent} does not exist: make it, or name another file.")
    if not os.access(file.parent, os.W_OK):
        raise ArchiveError(f"The folder {file.parent} cannot be written: name a file in another.")
    if file.is_dir() or (file.exists() and not replace):
        raise ArchiveError(f"{file} exists: name another file, or say --replace.")
