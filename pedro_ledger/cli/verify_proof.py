"""`pedro-ledger verify-proof`: check an entry's proof offline, without a database or settings."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from pedro_ledger.cli.base import AsJson
from pedro_ledger.ledger.evidence.proofs import check, parse_proof
from pedro_ledger.ledger.evidence.strict_json import EvidenceError, digest
from pedro_ledger.proofs.signing import is_signed


def command(
    file: Annotated[Path, typer.Argument(help="What GET /v1/entries/{id}/proof gave; - is standard input.")],
    public_key: Annotated[
        str | None, typer.Option(help="The published key that must have signed, in hexadecimal.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check offline that an entry is sealed by a signed checkpoint; exit 1 where it is not."""
    raise typer.Exit(main(file, public_key, as_json=as_json))


def main(file: Path, public_key: str | None, *, as_json: bool) -> int:
    """Returns the exit status: 1 where the proof proves nothing, 2 where it cannot be read."""
    try:
        document = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        typer.echo(f"pedro-ledger: cannot read {file}: {error.strerror}", err=True)
        return 2
    try:
        proof = parse_proof(document)
        check(proof, is_signed, None if public_key is None else digest(public_key, "--public-key"))
    except EvidenceError as error:
        if as_json:
            typer.echo(orjson.dumps({"valid": False, "reason": str(error)}))
        else:
            typer.echo(f"refused: {error}")
        return 1
    entry, checkpoint = proof.entry, proof.checkpoint
    if as_json:
        typer.echo(
            orjson.dumps(
                {
                    "valid": True, "userId": proof.user_id, "entryId": entry.id, "checkpoint": checkpoint.number,
                    "at": checkpoint.at, "publicKey": checkpoint.public_key.hex(),
                }
            )
        )  # fmt: skip
        return 0
    typer.echo(
        f"valid: {entry.kind} {entry.credits:+d} of user {proof.user_id}, entry {entry.id}, balance after it {entry.balance_after}"
    )
    typer.echo(f"sealed by checkpoint {checkpoint.number} of {checkpoint.at}, root {checkpoint.root.hex()}")
    if public_key is None:
        typer.echo(f"signed by {checkpoint.public_key.hex()}: compare it with the published key, or give --public-key")
    return 0
