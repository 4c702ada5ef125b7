"""`pedro-ledger verify`: every account against its entries, the hash chain and the app's tables; in parallel, in one snapshot."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from pedro_ledger.app import open_databases
from pedro_ledger.logs import configure_logs
from pedro_ledger.settings import Settings
from pedro_ledger.store.audit import Share, ShareReport, audit_share, shares_of
from pedro_ledger.store.database import Database
from pedro_ledger.store.dsn import DatabaseUrl
from pedro_ledger.store.migrations import pending

PARALLEL_FROM_ENTRIES = 100_000
SHOWN_MAX = 20


async def main(settings: Settings, *, as_json: bool) -> int:
    """Returns the exit status: 1 where anything is wrong."""
    started = perf_counter()
    async with open_databases(settings) as databases:
        behind = await pending(databases.direct)
        if behind:
            typer.echo(f"pedro-ledger: the database lacks {behind[0].name}: run pedro-ledger migrate first", err=True)
            return 2
        reports = await audit(databases.direct, quiet=as_json)
    seconds = perf_counter() - started
    users = sum(report.users for report in reports)
    entries = sum(report.entries for report in reports)
    problems = [problem for report in reports for problem in report.problems]
    if as_json:
        found = [{"userId": each.user_id, "seq": each.seq, "problem": each.what} for each in problems]
        typer.echo(orjson.dumps({"users": users, "entries": entries, "seconds": round(seconds, 2), "problems": found}))
    else:
        for problem in problems[:SHOWN_MAX]:
            typer.echo(f"user {problem.user_id} seq {'-' if problem.seq is None else problem.seq}: {problem.what}")
        if len(problems) > SHOWN_MAX:
            typer.echo(f"and {len(problems) - SHOWN_MAX} more")
        verdict = f"{len(problems)} problems" if problems else "the books are in order"
        typer.echo(f"{users} accounts, {entries} entries checked in {seconds:.1f} s: {verdict}")
    return 1 if problems else 0


async def audit(database: Database, *, quiet: bool) -> list[ShareReport]:
    """Check the whole ledger; over several processes where it is large."""
    connection = await database.connect()
    estimate = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM pedro_ledger.entry LIMIT $1) AS counted", PARALLEL_FROM_ENTRIES
    )
    await connection.close()
    jobs = (os.cpu_count() or 1) if estimate >= PARALLEL_FROM_ENTRIES else 1
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} shares checked"), console=Console(stderr=True), disable=quiet
    )
    async with shares_of(database, jobs * 8 if jobs > 1 else 1) as shares:
        with progress:
            task = progress.add_task("verify")
            if jobs == 1:
                return [await audit_share(database, share) for share in shares]
            return await _in_processes(database.url, shares, jobs, lambda: progress.advance(task))


async def _in_processes(
    url: DatabaseUrl, shares: list[Share], jobs: int, on_share: Callable[[], None]
) -> list[ShareReport]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        work = [loop.run_in_executor(pool, _audit_in_process, url, share) for share in shares]
        for each in work:
            each.add_done_callback(lambda _: on_share())
        return await asyncio.gather(*work)


def _audit_in_process(url: DatabaseUrl, share: Share) -> ShareReport:
    configure_logs("error", "auto")
    return asyncio.run(audit_share(Database(url), share))
