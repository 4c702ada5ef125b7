"""`pedro-ledger resync`: users from a Clerk export, one JSON object a line."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import orjson
import typer

from pedro_ledger.billing.clerk import read_user
from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.ledger.billing import storable, time_of_ms
from pedro_ledger.settings import Settings
from pedro_ledger.store.billing.resync import Conflict, ResyncOutcome, UserResync
from pedro_ledger.store.schema.standing import require_current

SHOWN_MAX = 20


class BadLine(NamedTuple):
    """A line that could not be applied."""

    line: int
    problem: str


class ResyncCounts:
    """What became of the lines."""

    def __init__(self) -> None:
        self.outcomes: Counter[ResyncOutcome] = Counter()
        self.bad: list[BadLine] = []
        self.seen: set[str] = set()


def command(
    file: Annotated[Path, typer.Argument(help="Clerk users, one JSON object a line; - reads standard input.")],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring users up to date from a Clerk export; run it as often as you like; removes nobody."""
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, file, is_dry=dry_run, as_json=as_json)))


async def main(settings: Settings, file: Path, *, is_dry: bool, as_json: bool) -> int:
    """Returns the exit status: 1 where a line was bad, all others being applied; 2 where nothing
    was done.
    """
    async with open_databases(settings) as databases:
        await require_current(databases.direct)
        await databases.primary.open()
        try:
            users = UserResync(databases.primary, signup_credits=settings.signup_credits, is_dry=is_dry)
            tally = ResyncCounts()
            try:
                with _opened(file) as lines:
                    for number, line in enumerate(lines, 1):
                        await _take(users, tally, number, line)
            except OSError as error:
                typer.echo(
                    f"pedro-ledger: {file}: {error.strerror}: name a file of Clerk users, one JSON object a line",
                    err=True,
                )
                return 2
            missing = await users.missing(tally.seen)
        finally:
            await databases.primary.close()
    _tell(tally, missing, is_dry=is_dry, as_json=as_json)
    return 1 if tally.bad else 0


async def _take(users: UserResync, tally: ResyncCounts, number: int, line: bytes) -> None:
    if not line.strip():
        return
    try:
        value = storable(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        tally.bad.append(BadLine(number, f"not JSON: {error.msg}"))
        return
    seen = read_user(value) if isinstance(value, dict) else None
    if seen is None:
        tally.bad.append(BadLine(number, "no Clerk user: it has no id"))
        return
    tally.seen.add(seen.clerk_id)
    try:
        tally.outcomes[await users.put(seen, time_of_ms(value.get("updated_at")))] += 1
    except Conflict as error:
        tally.bad.append(BadLine(number, error.detail))


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as lines:
        yield lines


def _tell(tally: ResyncCounts, missing: list[str], *, is_dry: bool, as_json: bool) -> None:
    counts = {outcome.value: tally.outcomes[outcome] for outcome in ResyncOutcome}
    if as_json:
        told = {**counts, "bad": [line._asdict() for line in tally.bad], "missing": missing, "dryRun": is_dry}
        typer.echo(orjson.dumps(told))
        return
    for bad in tally.bad:
        typer.echo(f"line {bad.line}: {bad.problem}", err=True)
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    typer.echo(f"{'would be: ' if is_dry else ''}{shown}, {len(tally.bad)} bad lines")
    if missing:
        rest = f" and {len(missing) - SHOWN_MAX} more" if len(missing) > SHOWN_MAX else ""
        typer.echo(f"active here and not in the export, left as they are: {', '.join(missing[:SHOWN_MAX])}{rest}")
    if tally.bad:
        typer.echo("mend the bad lines and run it again: what is up to date is not written again", err=True)
