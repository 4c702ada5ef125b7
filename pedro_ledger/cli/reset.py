"""`pedro-ledger reset`."""

from typing import Annotated

import typer

from pedro_ledger.cli.base import Config, run, settings_or_fail
from pedro_ledger.postgres.embedded import DATABASE, EmbeddedError, EmbeddedPostgres
from pedro_ledger.settings import Settings

WORD = "delete every credit"


def command(
    config: Config = None,
    confirm: Annotated[str | None, typer.Option(help="The words that are asked for, where nobody types.")] = None,
) -> None:
    """Empty the embedded database for good, after a typed confirmation."""
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, confirmation=confirm)))


async def main(settings: Settings, *, confirmation: str | None) -> int:
    """Returns the exit status.

    Raises `EmbeddedError` where the database is not the embedded one, or is in use.
    """
    if settings.database_url is not None:
        raise EmbeddedError(
            "reset is for the embedded database alone and DATABASE_URL is set: unset it, or drop that database with its own tools."
        )
    server = EmbeddedPostgres(settings.data_dir)
    if not server.cluster.exists():
        raise EmbeddedError(f"There is no embedded database in {server.home}: nothing to reset.")
    if confirmation is None:
        confirmation = typer.prompt(
            f'This removes the database {DATABASE} in {server.home} for good. Type "{WORD}" to go on',
            default="",
            show_default=False,
        )
    if confirmation != WORD:
        typer.echo(f'pedro-ledger: nothing was changed; to reset, type "{WORD}"', err=True)
        return 1
    server.start()
    try:
        server.reset()
    finally:
        server.stop()
    typer.echo("the database is empty; pedro-ledger serve or pedro-ledger restore FILE fills it")
    return 0
