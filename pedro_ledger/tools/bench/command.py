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
from pedro_ledger.tools.bench import comparison, session
from pedro_ledger.tools.bench.loads import BenchError, find_wrk
from pedro_ledger.tools.bench.rows import choose, choose_comparable

QUICK = (2, 2)
FULL = (3, 4)
PAIRED = (12, 3)
"""Rounds and seconds; pairs and seconds."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
ROWS = "echo,single,hot,batch,function,copy,remote"
COMPARED_ROWS = "single,hot,batch"


def command(
    *,
    rows: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Rows to run, comma-separated, of echo,single,hot,batch,function,copy,remote,cpu; "
            "all but cpu unless told, and with --against single,hot,batch of single,hot,batch,remote.",
        ),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=100, help="Rounds; 3 unless told.")] = None,
    seconds: Annotated[
        int | None,
        typer.Option(min=1, max=600, help="Seconds of each row in a round; 4 unless told, 3 with --against."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="2 rounds of 2 seconds: a look, no figure to quote.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead: this daemon and that of the checkout in DIR in turn, and pair by pair the ratios of CPU an "
            "operation and of rates.",
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Pairs with --against; 12 unless told, about 11 seconds each for a row."),
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="With --against: ratios that differ from 1 by this much are taken for equal.",
        ),
    ] = 1.0,
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
    """Measure the daemon beside the limits of its parts, all rows in turn in one run, on an
    embedded PostgreSQL of its own.

    Exits with 1 where a row had errors or a ledger does not verify; goals that are not reached are
    shown, and do not fail. So do ratios, whatever they are.
    """
    try:
        _refuse_what_does_not_go_together(
            against, {"--pairs": pairs}, {"--repeats": repeats, "--profile": profile, "--size": size or None}
        )
        default_repeats, default_seconds = QUICK if quick else FULL if against is None else PAIRED
        chosen = [name.strip() for name in (rows or (ROWS if against is None else COMPARED_ROWS)).split(",")]
        options = session.Options(
            rows=choose_comparable(chosen) if against is not None else choose(chosen + (["size"] if size else [])),
            repeats=repeats or pairs or default_repeats,
            seconds=seconds or default_seconds,
            wrk=_wrk(generator),
            size_users=size_users,
            size_entries=max(size_entries, size_users),
            postgres_bin=postgres_bin,
        )
        with _terminated_like_interrupted(), _folder(data_dir) as folder:
            if against is not None:
                is_sound = comparison.compare(options, folder, against, within / 100, as_json=as_json)
            elif profile is not None:
                session.profile(options, folder, profile, as_json=as_json)
                is_sound = True
            else:
                is_sound = session.measure(options, folder, as_json=as_json)
        if not is_sound:
            raise typer.Exit(1)
    except (ValueError, BenchError, EmbeddedError) as error:
        _fail(str(error))


def _refuse_what_does_not_go_together(
    against: Path | None, only_with: dict[str, object], only_without: dict[str, object]
) -> None:
    for name, given in (only_with if against is None else only_without).items():
        if given is not None:
            raise BenchError(f"{name} is {'only for' if against is None else 'not for'} --against")


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
    """SIGTERM unwinds everything that was started, as Ctrl-C does.

    A second signal does not stop that.
    """

    def interrupt(number: int, frame: object) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = [signal.signal(number, interrupt) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _fail(message: str) -> NoReturn:
    typer.echo(f"pedro-ledger: {message}", err=True)
    raise typer.Exit(2)
