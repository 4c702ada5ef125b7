"""`pedro-ledger checkpoint` and `verify-proof`: the options, thin."""

from pathlib import Path
from typing import Annotated

import typer

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail


def checkpoint(
    config: Config = None,
    make_key: Annotated[bool, typer.Option("--make-key", help="Make the key that signs, once.")] = False,
    public_key: Annotated[bool, typer.Option("--public-key", help="Print the public key and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Seal every account under one signed root, kept in a file outside the database and in the database."""
    from pedro_ledger.cli import checkpoint as command  # noqa: PLC0415
    from pedro_ledger.proofs.errors import CheckpointError  # noqa: PLC0415 - commands load what they need

    settings = settings_or_fail(config)
    try:
        if make_key or public_key:
            raise typer.Exit(command.show_key(settings, make=make_key, as_json=as_json))
        raise typer.Exit(run(command.main(settings, as_json=as_json)))
    except CheckpointError as error:
        fail(str(error))


def verify_proof(
    file: Annotated[Path, typer.Argument(help="What GET /v1/entries/{id}/proof gave; - is standard input.")],
    public_key: Annotated[
        str | None, typer.Option(help="The published key that must have signed, in hexadecimal.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check offline that an entry is sealed by a signed checkpoint; exit 1 where it is not."""
    from pedro_ledger.cli import verify_proof as command  # noqa: PLC0415

    raise typer.Exit(command.main(file, public_key, as_json=as_json))
