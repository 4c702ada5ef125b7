"""`pedro-ledger keys`: API keys, by the owner of the database."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from pedro_ledger.api.access.api_keys import KeyRing, new_key
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.cli.base import AsJson, Config, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.ledger.times import time_text
from pedro_ledger.postgres.database import Connection
from pedro_ledger.settings import Settings
from pedro_ledger.store.keys import KeyRow, list_keys, make_key, revoke_key, rotate_key
from pedro_ledger.store.schema.standing import owner_session

command = typer.Typer(
    help="Make, list, revoke and rotate API keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id that `keys list` shows, key_…")]
ExpiresIn = Annotated[
    str | None, typer.Option(metavar="TIME", help="How long it is valid: 90d, 12h, 30m, 45s; without it for good.")
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@command.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; people see it, the daemon does not care.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; several times for several.")],
    workspace: Annotated[str | None, typer.Option(help="The only workspace that it sees.")] = None,
    expires_in: ExpiresIn = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    lifetime = _time(expires_in, "--expires-in")
    work = make(settings_or_fail(config), name, scope, workspace=workspace, expires_in=lifetime, as_json=as_json)
    raise typer.Exit(run(work))


@command.command("list")
def list_all(config: Config = None, as_json: AsJson = False) -> None:
    """Show every key that was ever made: what it may do, and when it was last used; never the key
    itself.
    """
    raise typer.Exit(run(show_all(settings_or_fail(config), as_json=as_json)))


@command.command()
def revoke(key_id: KeyId, config: Config = None, as_json: AsJson = False) -> None:
    """End a key; every replica refuses it within seconds."""
    raise typer.Exit(run(end(settings_or_fail(config), key_id, as_json=as_json)))


@command.command()
def rotate(
    key_id: KeyId,
    keep_old: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old key stays valid; 0s ends it at once.")
    ] = "1h",
    expires_in: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long the new key is valid: 90d, 12h, 30m, 45s; without it for as long as the old one would have been.",
        ),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that may do what an old one may, show it, this once, and let the old one end."""
    old_ends_in, lifetime = _time(keep_old, "--keep-old"), _time(expires_in, "--expires-in")
    assert old_ends_in is not None, "it has a default"
    work = replace(settings_or_fail(config), key_id, old_ends_in=old_ends_in, expires_in=lifetime, as_json=as_json)
    raise typer.Exit(run(work))


async def make(
    settings: Settings,
    name: str,
    scopes: Sequence[Scope],
    *,
    workspace: str | None,
    expires_in: timedelta | None,
    as_json: bool,
) -> int:
    """Returns the exit status."""
    key = new_key()
    async with _session(settings) as connection:
        row = await make_key(
            connection,
            name=name,
            digest=KeyRing.digest(key),
            scopes={scope.value for scope in scopes},
            workspace_id=workspace,
            expires_at=_from_now(expires_in),
        )
    _show_new(row, key, as_json=as_json)
    return 0


async def show_all(settings: Settings, *, as_json: bool) -> int:
    """Returns the exit status."""
    async with _session(settings) as connection:
        rows = await list_keys(connection)
    if as_json:
        typer.echo(orjson.dumps({"keys": [_json(row) for row in rows]}))
        return 0
    if not rows:
        typer.echo("no keys yet: pedro-ledger keys create NAME --scope ledger:write")
        return 0
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in ("id", "name", "scopes", "workspace", "state", "expires", "last used"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for row in rows:
        shown = _json(row)
        table.add_row(
            row.id, row.name, ",".join(row.scopes), row.workspace_id or "-", shown["state"],
            _moment(row.expires_at), _moment(row.last_used_at),
        )  # fmt: skip
    Console(width=None if Console().is_terminal else 160).print(table)
    return 0


async def end(settings: Settings, key_id: str, *, as_json: bool) -> int:
    """Returns the exit status: 1 where there is no such key."""
    async with _session(settings) as connection:
        row = await revoke_key(connection, key_id)
    if row is None:
        return _not_found(key_id, "There is no key")
    if as_json:
        typer.echo(orjson.dumps(_json(row)))
    else:
        typer.echo(f"revoked  {row.id}  {row.name}: refused everywhere within seconds")
    return 0


async def replace(
    settings: Settings, key_id: str, *, old_ends_in: timedelta, expires_in: timedelta | None, as_json: bool
) -> int:
    """Returns the exit status: 1 where there is no such key that is valid."""
    key = new_key()
    async with _session(settings) as connection:
        row = await rotate_key(
            connection,
            key_id,
            digest=KeyRing.digest(key),
            old_ends_in=old_ends_in,
            expires_at=_from_now(expires_in),
        )
    if row is None:
        return _not_found(key_id, "There is no valid key")
    _show_new(row, key, as_json=as_json, replaces=key_id)
    if not as_json:
        typer.echo(f"{key_id} ends {'now' if not old_ends_in else f'in {old_ends_in} (h:mm:ss)'}")
    return 0


@asynccontextmanager
async def _session(settings: Settings) -> AsyncIterator[Connection]:
    async with open_databases(settings) as databases, owner_session(databases.direct) as connection:
        yield connection


def _from_now(lifetime: timedelta | None) -> datetime | None:
    return None if lifetime is None else datetime.now(UTC) + lifetime


def _show_new(row: KeyRow, key: str, *, as_json: bool, replaces: str | None = None) -> None:
    if as_json:
        replaced = {} if replaces is None else {"replaces": replaces}
        typer.echo(orjson.dumps({**_json(row), "key": key, **replaced}))
        return
    typer.echo(f"key      {key}")
    typer.echo(f"id       {row.id}   ({row.name}: {', '.join(row.scopes)})")
    typer.echo("Keep it now: it is not stored and never shown again. Daemons take it within seconds.")


def _json(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "workspaceId": row.workspace_id,
        "state": row.state(datetime.now(UTC)),
        "createdAt": time_text(row.created_at),
        "expiresAt": row.expires_at and time_text(row.expires_at),
        "revokedAt": row.revoked_at and time_text(row.revoked_at),
        "lastUsedAt": row.last_used_at and time_text(row.last_used_at),
    }


def _moment(time: datetime | None) -> str:
    return "-" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _not_found(key_id: str, what: str) -> int:
    typer.echo(f"pedro-ledger: {what} {key_id}: `pedro-ledger keys list` shows them all.", err=True)
    return 1


def _time(text: str | None, option: str) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text} is no time: write 90d, 12h, 30m or 45s.", param_hint=option)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
