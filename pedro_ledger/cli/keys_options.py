"""`pedro-ledger keys`: the options, thin."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail

keys = typer.Typer(help="Make, list, revoke and rotate API keys.", no_args_is_help=True)
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id that `keys list` shows, key_…")]
ExpiresIn = Annotated[
    str | None, typer.Option(metavar="TIME", help="How long it is valid: 90d, 12h, 30m, 45s; without it for good.")
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; people see it, the daemon does not care.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; several times for several.")],
    workspace: Annotated[str | None, typer.Option(help="The only workspace that it sees.")] = None,
    expires_in: ExpiresIn = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    from pedro_ledger.cli import keys as command  # noqa: PLC0415

    lifetime = _time(expires_in, "--expires-in")
    work = command.create(
        settings_or_fail(config), name, scope, workspace=workspace, expires_in=lifetime, as_json=as_json
    )
    raise typer.Exit(run(work))


@keys.command("list")
def list_all(config: Config = None, as_json: AsJson = False) -> None:
    """Show every key that was ever made: what it may do, and when it was last used; never the key itself."""
    from pedro_ledger.cli import keys as command  # noqa: PLC0415

    raise typer.Exit(run(command.list_all(settings_or_fail(config), as_json=as_json)))


@keys.command()
def revoke(key_id: KeyId, config: Config = None, as_json: AsJson = False) -> None:
    """End a key; every replica refuses it within seconds."""
    from pedro_ledger.cli import keys as command  # noqa: PLC0415

    raise typer.Exit(run(command.revoke(settings_or_fail(config), key_id, as_json=as_json)))


@keys.command()
def rotate(
    key_id: KeyId,
    keep_old: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old key stays valid; 0s ends it at once.")
    ] = "1h",
    expires_in: ExpiresIn = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that may do what an old one may, show it, this once, and let the old one end."""
    from pedro_ledger.cli import keys as command  # noqa: PLC0415

    old_ends_in, lifetime = _time(keep_old, "--keep-old"), _time(expires_in, "--expires-in")
    assert old_ends_in is not None, "it has a default"
    work = command.rotate(
        settings_or_fail(config), key_id, old_ends_in=old_ends_in, expires_in=lifetime, as_json=as_json
    )
    raise typer.Exit(run(work))


def _time(text: str | None, option: str) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text} is no time: write 90d, 12h, 30m or 45s.", param_hint=option)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
