"""API keys: of each its SHA-256, what it may do, and for how long.

The key itself is never stored.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from secrets import randbits
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.ids import encode_base32
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("keys")


class ValidKey(NamedTuple):
    """A key as the daemon compares it."""

    id: str
    digest: bytes
    scopes: frozenset[str]
    workspace_id: str | None
    expires_at_s: float | None
    """Seconds since 1970."""


class KeyRow(NamedTuple):
    """A key as its owner sees it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    workspace_id: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> str:
        """Whether it opens anything now: `valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class KeyStore:
    """What the daemon asks of the table, over its pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def valid(self) -> list[ValidKey]:
        """The keys that are valid now. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["list_valid"])
        return [
            ValidKey(row["id"], row["hash"], frozenset(row["scopes"]), row["workspace_id"], row["expires_at_s"])
            for row in rows
        ]

    async def note_use(self, used_at_s: Mapping[str, float]) -> None:
        """When each key was last used, in seconds since 1970. Raises `Unavailable`."""
        moments = [datetime.fromtimestamp(at, UTC) for at in used_at_s.values()]
        async with self._database.acquire() as connection:
            await connection.execute(_SQL["note_use"], list(used_at_s), moments)


async def make_key(
    connection: Connection,
    *,
    name: str,
    digest: bytes,
    scopes: Iterable[str],
    workspace_id: str | None,
    expires_at: datetime | None,
) -> KeyRow:
    """Store a new key by its SHA-256."""
    key_id = "key_" + encode_base32(randbits(60), 6)
    row = await connection.fetchrow(_SQL["make_key"], key_id, name, digest, sorted(scopes), workspace_id, expires_at)
    assert row is not None, "an insert returns its row"
    return _key_row(row)


async def list_keys(connection: Connection) -> list[KeyRow]:
    """Every key that was ever made, oldest first."""
    return [_key_row(row) for row in await connection.fetch(_SQL["list_keys"])]


async def revoke_key(connection: Connection, key_id: str) -> KeyRow | None:
    """End a key at once. None where there is no such key."""
    row = await connection.fetchrow(_SQL["revoke_key"], key_id)
    return None if row is None else _key_row(row)


async def rotate_key(
    connection: Connection, key_id: str, *, digest: bytes, old_ends_in: timedelta, expires_at: datetime | None
) -> KeyRow | None:
    """A new key that may do what an old one may, which ends; both or neither. None where the old
    one is not valid.

    Without `expires_at` the new one is valid for as long as the old one would have been.
    """
    async with connection.transaction():
        old = await connection.fetchrow(_SQL["end_key"], key_id, old_ends_in)
        if old is None:
            return None
        return await make_key(
            connection,
            name=old["name"],
            digest=digest,
            scopes=old["scopes"],
            workspace_id=old["workspace_id"],
            expires_at=expires_at or old["expires_at"],
        )


def _key_row(row: asyncpg.Record) -> KeyRow:
    return KeyRow(**{**row, "scopes": tuple(row["scopes"])})
