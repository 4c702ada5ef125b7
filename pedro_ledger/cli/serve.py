"""`pedro-ledger serve`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pedro_ledger.cli.base import Config, run, settings_or_fail
from pedro_ledger.daemon.app import Daemon, Running


def command(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded PostgreSQL.")] = None,
) -> None:
    """Serve the ledger over HTTP; without DATABASE_URL on an embedded PostgreSQL."""
    settings = settings_or_fail(config, host=host, port=port, data_dir=data_dir)

    async def main() -> None:
        await Daemon(settings).run(_announce)

    run(main())


def _announce(running: Running) -> None:
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
