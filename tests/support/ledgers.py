"""Ledgers with times and kinds of a test's own choosing, written as the daemon writes them but for
the hashes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pedro_ledger.ledger.account import Account, AccountQuery, Loaded
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.ids import account_tag, entry_id
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.store.journal.accounts import AccountReader
from pedro_ledger.store.journal.adoption import Adopter

USAGE_KINDS = ("deduct", "refund", "capture")


class Line(NamedTuple):
    """One entry to be written: what it is, the signed change, and when."""

    kind: str
    credits: int
    at: datetime
    operation_type: str | None = None


async def make_user(connection: Connection, user_id: str, credits: int = 0, created_at: datetime | None = None) -> None:
    """A user with a balance, as the app makes them through Prisma."""
    await connection.execute(
        'INSERT INTO "User" ("id", "clerkId", "createdAt", "updatedAt") '
        "VALUES ($1, 'clerk_' || $1, coalesce($2, now() AT TIME ZONE 'UTC'), now() AT TIME ZONE 'UTC')",
        user_id,
        created_at and created_at.replace(tzinfo=None),
    )
    await connection.execute(
        'INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt") '
        "VALUES ('balance_' || $1, $1, 'clerk_' || $1, $2, now() AT TIME ZONE 'UTC')",
        user_id,
        credits,
    )


async def account_of(database: Database, user_id: str) -> Account:
    """The account of a user whom the ledger knows."""
    reader = AccountReader(database, Adopter(database))
    found = (await reader.load([AccountQuery(user_id, ())]))[user_id]
    reader.close()
    assert isinstance(found, Loaded)
    return found.account


async def adopt(database: Database, user_ids: Sequence[str]) -> dict[str, LedgerError]:
    """Adopt users. Returns what those are told who could not be."""
    adopter = Adopter(database)
    left_out = await adopter.adopt(user_ids)
    adopter.close()
    return left_out


async def append(connection: Connection, user_id: str, lines: Sequence[Line]) -> None:
    """Write `lines` after what the user's ledger has, in the caller's transaction or one of its
    own.
    """
    async with connection.transaction():
        await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
        tag, balance_id = account_tag(user_id), f"balance_{user_id}"
        await connection.execute(
            "INSERT INTO pedro_ledger.account (user_id, tag, balance_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            user_id, tag, balance_id,
        )  # fmt: skip
        account = await connection.fetchrow(
            "SELECT seq, posted FROM pedro_ledger.account WHERE user_id = $1 FOR UPDATE", user_id
        )
        seq, posted = account
        entries, usage = [], []
        for line in lines:
            seq, posted = seq + 1, posted + line.credits
            row_id = entry_id(round(line.at.timestamp() * 1000), tag, seq)
            key = f"key-{seq}"
            entries.append(
                (user_id, seq, row_id, line.kind, line.operation_type, line.credits, posted, key, b"f" * 16, "test", b"h" * 32, line.at)
            )  # fmt: skip
            if line.kind in USAGE_KINDS:
                at = line.at.replace(tzinfo=None)
                usage.append((row_id, user_id, balance_id, line.operation_type, -line.credits, at))
        await connection.executemany(
            "INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key, "
            "fingerprint, actor, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            entries,
        )
        await connection.executemany(
            'INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp") '
            "VALUES ($1, $2, $3, $4, $5, $6)",
            usage,
        )
        await connection.execute(
            "UPDATE pedro_ledger.account SET seq = $2, posted = $3, revision = revision + 1 WHERE user_id = $1",
            user_id, seq, posted,
        )  # fmt: skip
        await connection.execute(
            'UPDATE "CreditBalance" SET "creditsRemaining" = $2 WHERE "userId" = $1', user_id, posted
        )
