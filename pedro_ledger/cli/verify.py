"""`pedro-ledger verify`: every account against its entries, the hash chain and the app's tables; in
parallel, in one snapshot.

With a file of checkpoints also against what was sealed: a ledger that was rewritten as a whole is
consistent in itself.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Annotated, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.cli.verify_jobs import Finding, audit_in_process, check_in_process, check_sealed
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.ledger.evidence.checkpoints import Checkpoint, read_lines
from pedro_ledger.ledger.evidence.strict_json import EvidenceError, digest
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.sessions import JOB
from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.log_file import read_log
from pedro_ledger.proofs.signing import is_signed
from pedro_ledger.settings import Settings
from pedro_ledger.store.journal.audit import Ledger, Share, ShareAudit, audit_share, dealt
from pedro_ledger.store.proofs.checkpoints import list_lines, sealed_checkpoints
from pedro_ledger.store.schema.standing import require_current

PARALLEL_FROM_ENTRIES = 100_000
SHARES_PER_PROCESS = 4
SHOWN_MAX = 20


class Sealed(NamedTuple):
    """A file of checkpoints, and the published key that must have signed them."""

    file: Path
    public_key: bytes | None

    @classmethod
    def of(cls, file: Path, public_key: str | None) -> "Sealed":
        """From what was given to the command. Raises `CheckpointError`."""
        try:
            return cls(file, None if public_key is None else digest(public_key, "--public-key"))
        except EvidenceError as error:
            raise CheckpointError(str(error)) from None


class VerifyResult(NamedTuple):
    """What was checked, and everything that was found."""

    reports: list[ShareAudit]
    checkpoints: int
    departures: list[Finding]
    """From what was sealed."""

    @property
    def findings(self) -> list[Finding]:
        """First what was sealed, then what the ledger itself shows, in order of user."""
        return [*self.departures, *(Finding(*problem) for report in self.reports for problem in report.problems)]


def command(
    config: Config = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A file of checkpoints that the ledger must not have left.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The published key that must have signed them, in hexadecimal.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every account against its entries, the hash chain and the app's tables; exit 1 where
    something is wrong.
    """
    settings = settings_or_fail(config)
    try:
        sealed = None if checkpoint is None else Sealed.of(checkpoint, public_key)
    except CheckpointError as error:
        fail(str(error))
    raise typer.Exit(run(main(settings, sealed, as_json=as_json)))


async def main(settings: Settings, sealed: Sealed | None = None, *, as_json: bool) -> int:
    """Returns the exit status: 1 where anything is wrong. Raises `CheckpointError` for a file that
    cannot be read.
    """
    started = perf_counter()
    lines = None if sealed is None else read_log(sealed.file)
    async with open_databases(settings) as databases:
        await require_current(databases.direct)
        verdict = await verify(
            databases.direct, lines, sealed.public_key if sealed is not None else None, quiet=as_json
        )
    _show(verdict, perf_counter() - started, as_json=as_json)
    return 1 if verdict.findings else 0


async def audit(database: Database, *, quiet: bool) -> list[ShareAudit]:
    """Check the whole ledger."""
    return (await verify(database, None, None, quiet=quiet)).reports


async def verify(
    database: Database, lines: Sequence[str] | None, public_key: bytes | None, *, quiet: bool
) -> VerifyResult:
    """Check the whole ledger; over several processes where it is large; and against checkpoints
    where their lines are given.
    """
    connection = await database.connect(timeouts=JOB)
    estimate = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM pedro_ledger.entry LIMIT $1) AS counted", PARALLEL_FROM_ENTRIES
    )
    await connection.close()
    jobs = (os.cpu_count() or 1) if estimate >= PARALLEL_FROM_ENTRIES else 1
    async with dealt(database, jobs * SHARES_PER_PROCESS if jobs > 1 else 1) as ledger:
        broken: list[Finding] = []
        kept: list[Checkpoint] = []
        if lines is not None:
            try:
                kept = await _compare_lines(ledger.connection, lines, public_key)
            except EvidenceError as error:
                broken.append(Finding(None, None, str(error)))
        reports, departures = await _work(database, ledger, kept, jobs, quiet=quiet)
    return VerifyResult(reports, len(kept), [*broken, *(each for each in departures if each is not None)])


async def _compare_lines(connection: Connection, lines: Sequence[str], public_key: bytes | None) -> list[Checkpoint]:
    """The checkpoints whose sealed accounts the database keeps, once file and database agree.

    Raises `EvidenceError`.
    """
    if not lines:
        raise EvidenceError("the file has no checkpoint")
    try:
        known = read_lines(lines, is_signed, public_key)
    except EvidenceError as error:
        raise EvidenceError(f"the checkpoint file is broken: {error}") from None
    stored = await list_lines(connection)
    if len(stored) < len(lines):
        raise EvidenceError(
            f"the database lacks checkpoint {len(stored) + 1}: the ledger was rolled back, or is another one"
        )
    for number, (line, other) in enumerate(zip(lines, stored, strict=False), 1):
        if line != other:
            raise EvidenceError(f"the database has another checkpoint {number} than the file")
    try:
        series = read_lines(stored, is_signed, known[0].public_key)
    except EvidenceError as error:
        raise EvidenceError(f"the database's checkpoints are broken: {error}") from None
    kept = {each.number for each in await sealed_checkpoints(connection)}
    if series[-1].number not in kept and series[-1].accounts:
        raise EvidenceError(f"the database lacks the sealed accounts of its latest checkpoint {series[-1].number}")
    return [each for each in series if each.number in kept]


async def _work(
    database: Database, ledger: Ledger, kept: Sequence[Checkpoint], jobs: int, *, quiet: bool
) -> tuple[list[ShareAudit], list[Finding | None]]:
    columns = (
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} shares, {task.fields[entries]:,} entries"),
    )
    console = Console(stderr=True)
    is_hidden = quiet or not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=is_hidden) as progress:
        task = progress.add_task("verify", total=len(ledger.shares), entries=0)
        entries = 0

        def count(report: ShareAudit) -> ShareAudit:
            nonlocal entries
            entries += report.entries
            progress.update(task, advance=1, entries=entries)
            return report

        if jobs == 1:
            return (
                [count(await audit_share(database, share)) for share in ledger.shares],
                [await check_sealed(database, ledger.snapshot, each) for each in kept],
            )
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:

            async def on_share(share: Share) -> ShareAudit:
                return count(await loop.run_in_executor(pool, audit_in_process, database.url, share))

            async def on_checkpoint(each: Checkpoint) -> Finding | None:
                return await loop.run_in_executor(pool, check_in_process, database.url, ledger.snapshot, each)

            shares = asyncio.gather(*(on_share(share) for share in ledger.shares))
            departures = asyncio.gather(*(on_checkpoint(each) for each in kept))
            return list(await shares), list(await departures)


def _show(verdict: VerifyResult, seconds: float, *, as_json: bool) -> None:
    findings = verdict.findings
    users, entries = sum(each.users for each in verdict.reports), sum(each.entries for each in verdict.reports)
    if as_json:
        found = [{"userId": each.user_id, "seq": each.seq, "problem": each.what} for each in findings]
        told = {"users": users, "entries": entries, "checkpoints": verdict.checkpoints, "seconds": round(seconds, 2)}
        typer.echo(orjson.dumps(told | {"problems": found}))
        return
    for each in findings[:SHOWN_MAX]:
        where = "" if each.user_id is None else f"user {each.user_id} seq {'-' if each.seq is None else each.seq}: "
        typer.echo(where + each.what)
    if len(findings) > SHOWN_MAX:
        typer.echo(f"and {len(findings) - SHOWN_MAX} more")
    sealed = f", {verdict.checkpoints} checkpoints" if verdict.checkpoints else ""
    result = f"{len(findings)} problems" if findings else "the books are in order"
    typer.echo(f"{users} accounts, {entries} entries{sealed} checked in {seconds:.1f} s: {result}")
