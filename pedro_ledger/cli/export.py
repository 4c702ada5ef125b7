"""`pedro-ledger export NAME`: a whole table as a file."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases, open_reader
from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.proofs.fsync import sync
from pedro_ledger.reports.exports import EXPORTS, Done, export, place_of, require
from pedro_ledger.settings import Settings
from pedro_ledger.store.reports.exports import ExportReader, Wanted
from pedro_ledger.store.schema.standing import require_current
from pedro_ledger.telemetry.metrics import Metrics

STDOUT = Path("-")


class ExportForm(StrEnum):
    """How an export is written."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class ExportError(OperatorError):
    """The file cannot be written."""


def command(
    name: Annotated[str, typer.Argument(help="What: " + ", ".join(EXPORTS) + ".")],
    config: Config = None,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Only what happened at this moment or later, UTC.")
    ] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Only what happened before this moment, UTC.")] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Only rows after this one: its userId, a colon, and its seq (of usage: its id)."),
    ] = None,
    form: Annotated[ExportForm, typer.Option("--format", help="How to write it.")] = ExportForm.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; - is standard output. Without it NAME.FORMAT.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a whole table from one snapshot to a file, which gets its name when it is whole."""
    if name not in EXPORTS:
        fail(f"there is no export {name}; the exports are {', '.join(EXPORTS)}")
    place = None
    if after is not None and (place := place_of(name, after)) is None:
        fail("--after must be the userId of a row and its seq (of usage: its id), with a colon between")
    settings = settings_or_fail(config)
    wanted = Wanted(since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC), place)
    require(form)
    file = output or Path(f"{name}.{form}")
    if file != STDOUT and file.exists() and not replace:
        fail(f"{file} exists: name another file, or say --replace")
    raise typer.Exit(run(main(settings, name, wanted, form.value, file, as_json=as_json)))


async def main(settings: Settings, name: str, wanted: Wanted, form: str, file: Path, *, as_json: bool) -> int:
    """Returns the exit status.

    Raises `OperatorError` and `Unavailable`; then no file of that name was made or changed.
    """
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(open_databases(settings))
        await require_current(databases.direct)
        await databases.primary.open()
        stack.push_async_callback(databases.primary.close)
        reader = await open_reader(databases, settings, stack, Metrics())
        session = await stack.enter_async_context(ExportReader(reader).session())
        with _target(file) as out, _progress(name) as on_bytes:

            async def write(piece: bytes) -> None:
                await asyncio.to_thread(out.write, piece)
                on_bytes(len(piece))

            done = await export(session, name, wanted, form, write)
    _tell(name, file, done, as_json=as_json)
    return 0


@contextmanager
def _target(file: Path) -> Iterator[BinaryIO]:
    """Standard output, or the file: written beside, on the disk, then renamed."""
    if file == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    fresh = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with open(fresh, "xb") as out:
            yield out
        sync(fresh)
        fresh.rename(file)
        sync(file.parent)
    except OSError as error:
        raise ExportError(f"{file} cannot be written: {error.strerror}. Name another with --output.") from error
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how much is written; told of each piece's bytes."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda count: progress.advance(task, count)


def _tell(name: str, file: Path, done: Done, *, as_json: bool) -> None:
    """On standard error where the export itself went to standard output."""
    if as_json:
        told = {
            "export": name,
            "file": str(file),
            "rows": done.rows,
            "bytes": done.bytes_written,
            "sha256": done.sha256,
        }
        typer.echo(orjson.dumps(told), err=file == STDOUT)
        return
    typer.echo(f"{file}: {done.rows:,} rows, {done.bytes_written:,} bytes, sha256 {done.sha256}", err=file == STDOUT)
