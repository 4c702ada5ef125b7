"""The commands, thin: options in, one call, what to print out."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pedro_ledger import __version__
from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.cli.keys_options import keys
from pedro_ledger.cli.proofs_options import checkpoint, verify_proof
from pedro_ledger.tools.bench.command import bench
from pedro_ledger.tools.replay.command import replay

if TYPE_CHECKING:
    from pedro_ledger.daemon.app import Running

REPORT_NAMES = ("user-growth", "top-operations", "low-balance", "usage-by-day", "top-users", "liability")


class ReportForm(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


cli = typer.Typer(
    help="The credit ledger daemon for AI products.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the console script."""
    cli()


@cli.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The credit ledger daemon for AI products."""
    if show:
        typer.echo(f"pedro-ledger {__version__}")
        raise typer.Exit


@cli.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded PostgreSQL.")] = None,
) -> None:
    """Serve the ledger over HTTP; without DATABASE_URL on an embedded PostgreSQL."""
    from pedro_ledger.daemon.app import Daemon  # noqa: PLC0415

    settings = settings_or_fail(config, host=host, port=port, data_dir=data_dir)

    async def job() -> None:
        await Daemon(settings).run(_announce)

    run(job())


def _announce(running: "Running") -> None:
    if running.key_file is not None:
        shown = running.key
        typer.echo(f"key          {shown}   (kept in {running.key_file})")
    else:
        shown = "$PEDRO_API_KEY" if running.key else "<your key>"
    typer.echo(f"listening on {running.address}")
    typer.echo(
        f"try          curl -s {running.address}/v1/users -H 'Authorization: Bearer {shown}' "
        """-H 'Content-Type: application/json' -d '{"clerkId": "user_ana", "email": "ana@example.com"}'"""
    )
    sys.stdout.flush()


@cli.command()
def migrate(
    config: Config = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing; list what would be done.")] = False,
    app_role: Annotated[
        str | None, typer.Option(help="Give this role, made where it is missing, what `serve` needs and no more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database up to date, and adopt the users that the app made with Prisma."""
    from pedro_ledger.cli import migrate as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, check=check, plan=plan, app_role=app_role, as_json=as_json)))


@cli.command()
def seed(
    file: Annotated[Path, typer.Argument(help="A TOML file with plans and feature costs.")] = Path("config/plans.toml"),
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; tell what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring plans and feature costs to what a file says; a second time changes nothing."""
    from pedro_ledger.cli import seed as command  # noqa: PLC0415

    try:
        wanted = command.read(file)
    except command.SeedError as error:
        fail(str(error))
    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, wanted, dry_run=dry_run, as_json=as_json)))


@cli.command()
def verify(
    config: Config = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A file of checkpoints that the ledger must not have left.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The published key that must have signed them, in hexadecimal.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every account against its entries, the hash chain and the app's tables; exit 1 where something is wrong."""
    from pedro_ledger.cli import verify as command  # noqa: PLC0415
    from pedro_ledger.proofs.errors import CheckpointError  # noqa: PLC0415

    settings = settings_or_fail(config)
    try:
        sealed = None if checkpoint is None else command.Sealed.of(checkpoint, public_key)
    except CheckpointError as error:
        fail(str(error))
    raise typer.Exit(run(command.main(settings, sealed, as_json=as_json)))


@cli.command()
def report(
    name: Annotated[str, typer.Argument(help="Its name: " + ", ".join(REPORT_NAMES) + ".")],
    config: Config = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.")] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day after the last one, UTC.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only uses of this operation type.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    form: Annotated[ReportForm, typer.Option("--format", help="How to print it.")] = ReportForm.TABLE,
    as_json: AsJson = False,
) -> None:
    """Print a report on users, usage, or the credits owed."""
    from pedro_ledger.cli import report as command  # noqa: PLC0415
    from pedro_ledger.reports.catalogue import REPORTS, Asked  # noqa: PLC0415

    if name not in REPORTS:
        fail(f"there is no report {name}; the reports are {', '.join(REPORTS)}")
    asked = Asked(since and since.date(), until and until.date(), operation, limit)
    for option, value in asked._asdict().items():
        if value is not None and option not in REPORTS[name].takes:
            fail(f"the report {name} takes no --{option}")
    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, name, asked, "json" if as_json else form.value)))


@cli.command()
def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; a name with the time without it.")] = None,
    config: Config = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write both schemas to one file that is read back before it gets its name; the daemon goes on serving."""
    from pedro_ledger.cli import backup as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.back_up(settings, file or command.default_file(), replace=replace, as_json=as_json)))


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    config: Config = None,
    no_privileges: Annotated[
        bool, typer.Option("--no-privileges", help="Leave out grants, where the server lacks their roles.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, all or nothing, migrate it and verify it."""
    from pedro_ledger.cli import backup as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.restore(settings, file, drop_grants=no_privileges, as_json=as_json)))


@cli.command()
def partition(
    config: Config = None,
    plan: Annotated[bool, typer.Option("--plan", "--dry-run", help="Change nothing; print the statements.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn the app's usage history into monthly partitions while everybody writes; again: make the next months."""
    from pedro_ledger.cli import partition as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, plan_only=plan, as_json=as_json)))


@cli.command()
def reset(
    config: Config = None,
    confirm: Annotated[str | None, typer.Option(help="The words that are asked for, where nobody types.")] = None,
) -> None:
    """Empty the embedded database for good, after a typed confirmation."""
    from pedro_ledger.cli import reset as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, confirmation=confirm)))


@cli.command()
def resync(
    file: Annotated[Path, typer.Argument(help="Clerk users, one JSON object a line; - reads standard input.")],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring users up to date from a Clerk export; run it as often as you like. Nobody is removed."""
    from pedro_ledger.cli import resync as command  # noqa: PLC0415

    settings = settings_or_fail(config)
    raise typer.Exit(run(command.main(settings, file, is_dry=dry_run, as_json=as_json)))


cli.command()(checkpoint)
cli.command()(verify_proof)
cli.command()(replay)
cli.command()(bench)
cli.add_typer(keys, name="keys")
