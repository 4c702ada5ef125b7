"""`pedro-ledger partition`."""

from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.sessions import JOB
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.partitions import ConversionPlan, convert, make_plan

PRISMA = (
    'Prisma: the primary key is now ("id", "timestamp"). In schema.prisma write @@id([id, timestamp]) instead of @id, and\n'
    "findFirst instead of findUnique by id; then `prisma db push` and `prisma migrate` find nothing to do. With the old schema they\n"
    'try to make ("id") the key again, which PostgreSQL refuses without changing anything. The app\'s queries stay as they are.'
)


def command(
    config: Config = None,
    plan: Annotated[bool, typer.Option("--plan", "--dry-run", help="Change nothing; print the statements.")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert the app's usage history to monthly partitions while everybody writes; again: make the
    next months.
    """
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, plan_only=plan, as_json=as_json)))


async def main(settings: Settings, *, plan_only: bool, as_json: bool) -> int:
    """Returns the exit status."""
    async with open_databases(settings) as databases:
        if plan_only:
            with unavailable():
                connection = await databases.direct.connect(timeouts=JOB)
            try:
                plan = await make_plan(connection, databases.direct.url.label)
            finally:
                await connection.close(timeout=1)
            held_s = None
        else:
            plan, held_s = await convert(databases.direct)
    if as_json:
        typer.echo(orjson.dumps(_facts(plan, held_s)))
    else:
        typer.echo("\n".join(_told(plan, held_s)))
    return 0


def _facts(plan: ConversionPlan, held_s: float | None) -> dict[str, object]:
    return {
        "wasPartitioned": plan.state.is_partitioned,
        "isDone": held_s is not None,
        "heldSeconds": held_s,
        "besideWriters": plan.before,
        "inOneTransaction": plan.held,
    }


def _told(plan: ConversionPlan, held_s: float | None) -> list[str]:
    if not plan.held:
        last = max(each.ends for each in plan.partitions if each.ends is not None)
        return [f"up to date: {len(plan.partitions)} partitions, months made until {last:%Y-%m-%d}"]
    if held_s is not None:
        made = sum(statement.startswith("CREATE TABLE") and " PARTITION OF " in statement for statement in plan.held)
        lines = [f"{made} partitions made; writes waited for {held_s * 1000:.0f} ms"]
        return lines if plan.state.is_partitioned else ["UsageHistory is partitioned by month", *lines, PRISMA]
    lines = [
        f"-- UsageHistory has about {max(plan.state.rows_about, 0):,} rows, {plan.state.bytes:,} bytes with its indexes"
    ]
    if plan.before:
        lines += ["-- while everybody writes:", *(f"{each};" for each in plan.before)]
    lines += ["-- in one transaction, before which writers wait:", *(f"{each};" for each in plan.held)]
    return lines if plan.state.is_partitioned else [*lines, *(f"-- {line}" for line in PRISMA.splitlines())]
