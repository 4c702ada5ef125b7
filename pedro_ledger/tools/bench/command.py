"""`pedro-ledger bench`: the options, and what is printed."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pedro_ledger.postgres.embedded import EmbeddedError
from pedro_ledger.tools.bench import session
from pedro_ledger.tools.bench.loads import BenchError, find_wrk
from pedro_ledger.tools.bench.rows import choose

QUICK = (2, 2)
FULL = (3, 4)


def command(
    *,
    rows: Annotated[
        str, typer.Option(help="Rows to run, comma-separated: echo,single,hot,batch,function,copy,remote,cpu.")
    ] = "echo,single,hot,batch,function,copy,remote",
    repeats: Annotated[int | None, typer.Option(min=1, max=100, help="Rounds; 3 unless told.")] = None,
    seconds: Annotated[
        int | None, typer.Option(min=1, max=600, help="Seconds of each row in a round; 4 unless told.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="2 rounds of 2 seconds: a look, no figure to quote.")] = False,
    generator: Annotated[
        str, typer.Option(help="Where the load comes from: auto (wrk where installed), wrk or own.")
    ] = "auto",
    size: Annotated[
        bool, typer.Option("--size", help="Also run the row size; loading it takes minutes and gigabytes.")
    ] = False,
    size_users: Annotated[int, typer.Option(min=2000, help="Users of the large ledger.")] = 1_000_000,
    size_entries: Annotated[int, typer.Option(min=2000, help="Entries of the large ledger.")] = 10_000_000,
    profile: Annotated[
        str | None,
        typer.Option(metavar="ROW", help="Instead: where the daemon's time goes under this row, such as single-64."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="A new folder for the data, kept afterwards.")] = None,
    postgres_bin: Annotated[
        Path | None, typer.Option(help="Programs of another PostgreSQL than the embedded one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure the daemon beside the limits of its parts, all rows in turn in one run, on an embedded PostgreSQL of its own.

    Exits with 1 where a row had errors or a ledger does not verify; goals that are not reached are shown, and do not fail.
    """
    default_repeats, default_seconds = QUICK if quick else FULL
    try:
        options = session.Options(
            rows=choose([name.strip() for name in rows.split(",")] + (["size"] if size else [])),
            repeats=repeats or default_repeats,
            seconds=seconds or default_seconds,
            wrk=_wrk(generator),
            size_users=size_users,
            size_entries=max(size_entries, size_users),
            postgres_bin=postgres_bin,
        )
        with _folder(data_dir) as folder, _terminated_like_interrupted():
            if profile is not None:
                session.profile(options, folder, profile, as_json=as_json)
            elif not session.measure(options, folder, as_json=as_json):
                raise typer.Exit(1)
    except (ValueError, BenchError, EmbeddedError) as error:
        _fail(str(error))


def _wrk(generator: str) -> str | None:
    if generator == "own":
        return None
    if generator not in {"auto", "wrk"}:
        raise BenchError(f"--generator: {generator} is none; write auto, wrk or own")
    found = find_wrk()
    if found is None and generator == "wrk":
        raise BenchError("--generator wrk: wrk is not installed; install it, or write own")
    return found


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """The data folder: the one that is to be kept, or one that is removed."""
    if kept is not None:
        if kept.exists() and any(kept.iterdir()):
            _fail(f"--data-dir {kept} is not empty: name a new folder")
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="pedro-bench-"))
    try:
        if os.geteuid() == 0:
            folder.chmod(0o711)  # PostgreSQL does not run as root, and must come through
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM unwinds everything that was started, as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str) -> NoReturn:
    typer.echo(f"pedro-ledger: {message}", err=True)
    raise typer.Exit(2)
