"""`pedro-ledger checkpoint`: seal the ledger now, or make and show the key that seals."""

from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.daemon.checkpoints import key_file_of, log_file_of, make_sealer
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.signing import load_key, make_key
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.standing import require_current


def command(
    config: Config = None,
    make_key: Annotated[bool, typer.Option("--make-key", help="Make the key that signs, once.")] = False,
    public_key: Annotated[
        bool, typer.Option("--public-key", help="Print the public key in hexadecimal and nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal every account under one signed root, kept in a file outside the database and in the
    database.
    """
    settings = settings_or_fail(config)
    try:
        if make_key or public_key:
            raise typer.Exit(show_key(settings, make=make_key, as_json=as_json))
        raise typer.Exit(run(main(settings, as_json=as_json)))
    except CheckpointError as error:
        fail(str(error))


def show_key(settings: Settings, *, make: bool, as_json: bool) -> int:
    """Make the key where that is asked, and print its public half.

    Returns the exit status. Raises `CheckpointError`.
    """
    file = key_file_of(settings)
    public_key = (make_key(file) if make else load_key(file)).public_key.hex()
    if as_json:
        typer.echo(orjson.dumps({"publicKey": public_key, "keyFile": str(file)}))
    else:
        typer.echo(public_key if not make else f"public key {public_key}")
        if make:
            typer.echo(
                f"The private key is in {file}: keep a copy, publish the public key, and never make another one."
            )
    return 0


async def main(settings: Settings, *, as_json: bool) -> int:
    """Returns the exit status: 1 where another session was sealing. Raises `CheckpointError`."""
    load_key(key_file_of(settings))  # before a server is started for it
    async with open_databases(settings) as databases:
        await require_current(databases.direct)
        made = await make_sealer(settings, databases.direct).seal()
    if made is None:
        typer.echo("pedro-ledger: another checkpoint is being made: nothing is left to do", err=True)
        return 1
    if as_json:
        typer.echo(made.line)
    else:
        typer.echo(
            f"checkpoint {made.number}: {made.accounts} accounts, {made.entries} entries, root {made.root.hex()}"
        )
        typer.echo(f"appended to {log_file_of(settings)}; a copy elsewhere makes it worth more")
    return 0
