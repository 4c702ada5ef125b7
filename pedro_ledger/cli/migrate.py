"""`pedro-ledger migrate`."""

from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.postgres.database import Database
from pedro_ledger.settings import Settings
from pedro_ledger.store.billing.plans import EventPlans, Recorded
from pedro_ledger.store.journal.adoption import Adopted, Adopter
from pedro_ledger.store.schema.migrations import Preview, migrate, preview
from pedro_ledger.store.schema.returning import Returned
from pedro_ledger.store.schema.roles import make_app_role
from pedro_ledger.store.schema.standing import owner_session

SECONDS_PER_MILLION_ROWS = 50
"""To sum up the app's usage for the reports; as measured on two cores that others used too."""
SECONDS_PER_MILLION_USERS = 400
"""To open accounts, each with its first entry."""


def command(
    config: Config = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Change nothing; tell what would be done, and what the app can then no longer do."),
    ] = False,
    app_role: Annotated[
        str | None, typer.Option(help="Give this role, made where it is missing, what `serve` needs and no more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database up to date, and adopt the users that the app made with Prisma."""
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, check=check, plan=plan, app_role=app_role, as_json=as_json)))


async def main(settings: Settings, *, check: bool, plan: bool, as_json: bool, app_role: str | None = None) -> int:
    """Returns the exit status: with `check`, 1 when the database is behind."""
    async with open_databases(settings) as databases:
        if check or plan:
            return await _tell(databases.direct, check=check, as_json=as_json)
        returns: list[Returned] = []
        steps = await migrate(databases.direct, returns.append)
        if not as_json:
            for line in map(_told_return, returns):
                typer.echo(line)
            for step in steps:
                typer.echo(f"{'adopted' if step.adopted else 'applied'}  {step.migration.name}")
        total = Adopted()
        async for adopted in Adopter(databases.direct).adopt_all():
            total += adopted
        recorded = await _record_plans(databases.direct)
        made_role = None
        if app_role is not None:
            async with owner_session(databases.direct) as connection:
                made_role = await make_app_role(connection, app_role)
    if as_json:
        applied = [{"name": step.migration.name, "adopted": step.adopted} for step in steps]
        typer.echo(
            orjson.dumps(
                {
                    "applied": applied,
                    "returned": returns[0]._asdict() if returns else None,
                    "users": total._asdict(),
                    "eventPlans": recorded._asdict(),
                    "appRole": app_role,
                }
            )
        )
        return 0
    typer.echo("\n".join(_told_adoption(total, recorded)))
    if app_role is not None:
        typer.echo(f"the role {app_role} may serve: name it in DATABASE_URL, and the owner in DIRECT_URL")
    if made_role:
        typer.echo(f"it is new and has no password yet: in psql, \\password {app_role}")
    return 0


def _told_adoption(total: Adopted, recorded: Recorded) -> list[str]:
    lines = [f"up to date; {total.users} users adopted with {total.credits} credits"]
    if total.left_out:
        lines.append(
            f"{total.left_out} users were left out: the app has locked their balance, or its schema is in the way "
            "(see the log); each is adopted on the first touch"
        )
    if total.overdrawn_users:
        lines.append(
            f"{total.overdrawn_users} of them had been overdrawn by {total.overdrawn_credits} credits in all and start at 0; "
            "their opening entries say by how much"
        )
    if recorded.events:
        ambiguous = f"; {recorded.ambiguous} of them names two plans: pedro-ledger webhooks list"
        lines.append(
            f"{recorded.events} subscription events know their plan by its id{ambiguous if recorded.ambiguous else ''}"
        )
    return lines


def _told_return(returned: Returned) -> str:
    forgiven = f"; {returned.forgiven} that it took beyond what there was are forgiven" if returned.forgiven else ""
    return (
        f"back in use: {returned.guards} guards; the app changed {returned.adjusted} balances by {returned.credits:+} credits, "
        f"each with an entry, and wrote {returned.uses} rows of usage{forgiven}"
    )


async def _record_plans(database: Database) -> Recorded:
    """Settle which plans events of the version before mean.

    What is left after an interruption, the daemon does.
    """
    total = Recorded(0, 0)
    await database.open()
    try:
        plans = EventPlans(database)
        while (recorded := await plans.record_some()) is not None:
            total = Recorded(total.events + recorded.events, total.ambiguous + recorded.ambiguous)
    finally:
        await database.close()
    return total


async def _tell(database: Database, *, check: bool, as_json: bool) -> int:
    """What would be done.

    Users alone do not make a database be behind: who is not adopted yet is on the first touch.
    """
    found = await preview(database)
    is_behind = bool(found.steps) or found.is_away or found.history_rows > 0
    if as_json:
        pending = [{"name": step.migration.name, "adopts": step.adopted} for step in found.steps]
        told = {"pending": pending, "users": found.users, "isAway": found.is_away}
        if not check:
            told |= {
                "guards": [guard._asdict() for guard in found.guards],
                "historyRows": found.history_rows,
                "secondsAbout": _seconds(found),
            }
        typer.echo(orjson.dumps(told))
        return 1 if check and is_behind else 0
    for step in found.steps:
        typer.echo(f"pending  {step.migration.name}{': is there, is taken over' if step.adopted else ''}")
    if found.is_away:
        typer.echo(
            "pending  the ledger is out of use: it comes back, with an entry for each balance that the app changed"
        )
    if found.users:
        typer.echo(f"pending  {found.users} users to adopt, each otherwise on the first touch")
    if not check:
        for line in _told_plan(found):
            typer.echo(line)
    if not is_behind:
        typer.echo("up to date")
    return 1 if check and is_behind else 0


def _told_plan(found: Preview) -> list[str]:
    """What the app can no longer do, what follows from its other writes, and how long it takes."""
    lines = [
        f"{'refused ' if guard.refuses else 'followed'}  {guard.events} {guard.table}: {guard.words}"
        for guard in sorted(found.guards, key=lambda guard: not guard.refuses)
    ]
    if found.users or found.history_rows:
        lines.append(
            f"takes    about {_seconds(found)} s: {found.history_rows:,} rows of usage at {SECONDS_PER_MILLION_ROWS} s a million, "
            f"{found.users:,} users at {SECONDS_PER_MILLION_USERS} s a million, while the app reads and signs up users"
        )
    return lines


def _seconds(found: Preview) -> int:
    seconds = found.history_rows * SECONDS_PER_MILLION_ROWS + found.users * SECONDS_PER_MILLION_USERS
    return max(1, round(seconds / 1_000_000))
