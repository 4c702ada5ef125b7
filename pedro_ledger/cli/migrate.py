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
from pedro_ledger.store.schema.migrations import migrate, preview
from pedro_ledger.store.schema.roles import make_app_role
from pedro_ledger.store.schema.standing import owner_session


def command(
    config: Config = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing; list what would be done.")] = False,
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
        steps = await migrate(databases.direct)
        if not as_json:
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
                {"applied": applied, "users": total._asdict(), "eventPlans": recorded._asdict(), "appRole": app_role}
            )
        )
        return 0
    typer.echo(f"up to date; {total.users} users adopted with {total.credits} credits")
    if total.left_out:
        typer.echo(
            f"{total.left_out} users were left out: the app has locked their balance, or its schema is in the way "
            "(see the log); each is adopted on the first touch"
        )
    if total.overdrawn_users:
        typer.echo(
            f"{total.overdrawn_users} of them had been overdrawn by {total.overdrawn_credits} credits in all and start at 0; "
            "their opening entries say by how much"
        )
    if recorded.events:
        typer.echo(f"{recorded.events} subscription events know their plan by its id", nl=not recorded.ambiguous)
    if recorded.ambiguous:
        typer.echo(f"; {recorded.ambiguous} of them names two plans: pedro-ledger webhooks list")
    if app_role is not None:
        typer.echo(f"the role {app_role} may serve: name it in DATABASE_URL, and the owner in DIRECT_URL")
    if made_role:
        typer.echo(f"it is new and has no password yet: in psql, \\password {app_role}")
    return 0


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
    steps, users = await preview(database)
    if as_json:
        pending = [{"name": step.migration.name, "adopts": step.adopted} for step in steps]
        typer.echo(orjson.dumps({"pending": pending, "users": users}))
    else:
        for step in steps:
            typer.echo(f"pending  {step.migration.name}{': is there, is taken over' if step.adopted else ''}")
        if users:
            typer.echo(f"pending  {users} users to adopt, each otherwise on the first touch")
        if not steps:
            typer.echo("up to date")
    return 1 if check and steps else 0
