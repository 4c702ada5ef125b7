"""`pedro-ledger serve`."""

import shlex
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
    """What is to be called, and how.

    The key is shown once, to whoever made it at a terminal: what is printed elsewhere is kept in
    logs.
    """
    key, file, is_new = running.initial_key
    file = file and file.absolute()
    if file is None:
        shown = "$PEDRO_API_KEY" if key else "<your key>"
    else:
        shown = f"$(cat {shlex.quote(str(file))})"
        is_shown = is_new and sys.stdout.isatty()
        typer.echo(
            f"key          {key}   (kept in {file}, and not shown again)" if is_shown else f"key          in {file}"
        )
    typer.echo(f"listening on {running.address}")
    typer.echo(
        f'try          curl -s {running.address}/v1/users -H "Authorization: Bearer {shown}" '
        """-H 'Content-Type: application/json' -d '{"clerkId": "user_ana", "email": "ana@example.com"}'"""
    )
    sys.stdout.flush()
