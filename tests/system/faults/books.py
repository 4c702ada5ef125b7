"""The database's side of a trial: the ledger by `seq`, and what was derived from it.

Plain SQL, nothing of pedro_ledger.
"""

from typing import Any, NamedTuple

import asyncpg

from tests.system.faults import PATIENCE_S


class Line(NamedTuple):
    """One entry, in the order of the canonical form; times in milliseconds since 1970."""

    seq: int
    id: str
    kind: str
    operation_type: str | None
    credits: int
    balance_after: int
    held_after: int
    related_seq: int | None
    source: str | None
    expires_at_ms: int | None
    priority: int | None
    key: str
    fingerprint: bytes
    actor: str
    price: str | None
    details: str | None
    at_ms: int
    hash: bytes
    effects: str | None = None
    """What the entry does beyond a plain one: an entry that has some is hashed in another form."""


class UserBooks:
    """What the database holds of one user."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.account: tuple[int, int, int, bytes] | None = None
        """seq, posted, held, head"""
        self.balance: int | None = None
        """CreditBalance.creditsRemaining"""
        self.usage: dict[str, int] = {}
        """UsageHistory: creditsUsed by id."""
        self.refusals: dict[str, str] = {}
        """Remembered refusals: code by key."""


_ENTRIES = """
SELECT user_id, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source,
    (extract(epoch FROM expires_at) * 1000)::bigint, priority, idempotency_key, fingerprint, actor, price, details,
    (extract(epoch FROM created_at) * 1000)::bigint, hash, effects
FROM pedro_ledger.entry ORDER BY user_id, seq
"""


async def read_books(url: str) -> dict[str, UserBooks]:
    """Every user's books, as of one moment."""
    books: dict[str, UserBooks] = {}

    def of(user: str) -> UserBooks:
        return books.setdefault(user, UserBooks())

    connection = await asyncpg.connect(url, timeout=PATIENCE_S)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for row in connection.cursor(_ENTRIES, prefetch=5000):
                user, *fields = row
                of(user).lines.append(Line._make(fields))
            for user, *account in await connection.fetch(
                "SELECT user_id, seq, posted, held, head FROM pedro_ledger.account"
            ):
                of(user).account = tuple(account)
            for user, balance in await connection.fetch('SELECT "userId", "creditsRemaining" FROM "CreditBalance"'):
                of(user).balance = balance
            async for user, number, used in connection.cursor(
                'SELECT "userId", "id", "creditsUsed" FROM "UsageHistory"', prefetch=5000
            ):
                of(user).usage[number] = used
            for user, key, code in await connection.fetch(
                "SELECT user_id, idempotency_key, code FROM pedro_ledger.refusal"
            ):
                of(user).refusals[key] = code
    finally:
        await connection.close()
    return books


async def server_version(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=PATIENCE_S)
    try:
        version: Any = await connection.fetchval("SHOW server_version")
        return str(version)
    finally:
        await connection.close()
