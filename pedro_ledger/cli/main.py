"""Which commands there are.

Each lives in a module of its own, which is loaded when it is called, and not before.
"""

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from pedro_ledger import __version__


class Entry(NamedTuple):
    """A command, and where it lives: a module whose `command` is a function or a group."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "serve": Entry("pedro_ledger.cli.serve", "Serve the ledger over HTTP; without DATABASE_URL on an embedded PostgreSQL."),
    "migrate": Entry("pedro_ledger.cli.migrate", "Bring the database up to date, and adopt the users that the app made with Prisma."),
    "seed": Entry("pedro_ledger.cli.seed", "Bring plans and feature costs to what a file says; idempotent."),
    "verify": Entry("pedro_ledger.cli.verify", "Check every account against its entries, the hash chain and the app's tables."),
    "report": Entry("pedro_ledger.cli.report", "Print a report on users, usage, or the credits owed."),
    "export": Entry("pedro_ledger.cli.export", "Write entries, usage, grants or holds to a file: CSV, NDJSON or Parquet."),
    "keys": Entry("pedro_ledger.cli.keys", "Make, list, revoke and rotate API keys."),
    "backup": Entry("pedro_ledger.cli.backup", "Write both schemas to one file, while the daemon serves."),
    "restore": Entry("pedro_ledger.cli.restore", "Restore a backup into an empty database, all or nothing, migrate it and verify it."),
    "partition": Entry("pedro_ledger.cli.partition", "Convert the app's usage history to monthly partitions, while everybody writes."),
    "leave": Entry("pedro_ledger.cli.leave", "Take the ledger out of use: the app writes its tables as before; migrate brings it back."),
    "reset": Entry("pedro_ledger.cli.reset", "Empty the embedded database for good, after a typed confirmation."),
    "resync": Entry("pedro_ledger.cli.resync", "Bring users up to date from a Clerk export; nobody is removed."),
    "webhooks": Entry("pedro_ledger.cli.webhooks", "List and retry webhooks that could not be applied."),
    "checkpoint": Entry("pedro_ledger.cli.checkpoint", "Seal every account under one signed root, kept outside the database too."),
    "verify-proof": Entry("pedro_ledger.cli.verify_proof", "Check offline that an entry is sealed by a signed checkpoint."),
    "replay": Entry("pedro_ledger.tools.replay.command", "Replay a usage trace against a running daemon over HTTP, and check its books."),
    "bench": Entry("pedro_ledger.tools.bench.command", "Measure the daemon beside the limits of its parts."),
}  # fmt: skip


class CommandGroup(TyperGroup):
    """The group of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What stands for a command in the list of all: its name and what it does."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else typer.core.TyperCommand(cmd_name, help=entry.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, loaded."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return (name, stand_in, rest) if name is None else (name, load(name), rest)


def load(name: str) -> Any:
    """The command of this name, to be called."""
    command = import_module(COMMANDS[name].module).command
    app = command
    if not isinstance(command, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(command)
    return typer.main.get_command(app)


cli = typer.Typer(
    cls=CommandGroup,
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
