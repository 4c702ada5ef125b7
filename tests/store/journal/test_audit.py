"""`verify` finds what was done to a ledger behind its guards, and names the first bad user and
seq.
"""

import asyncpg
import pytest

from pedro_ledger.cli.verify import audit
from pedro_ledger.ledger.evidence.audit import Finding
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from tests.support.client import Api

TAMPERINGS = {
    "edit": ("UPDATE pedro_ledger.entry SET actor = 'x' WHERE user_id = $1 AND seq = 3", 3),
    "delete": ("DELETE FROM pedro_ledger.entry WHERE user_id = $1 AND seq = 3", 3),
    "cut off": ("DELETE FROM pedro_ledger.entry WHERE user_id = $1 AND seq = 5", 5),
    "reorder": (
        "UPDATE pedro_ledger.entry SET seq = CASE seq WHEN 3 THEN 14 ELSE 13 END WHERE user_id = $1 AND seq IN (3, 4)",
        3,
    ),
    "insert": (
        """INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key,
            fingerprint, actor, details, hash, created_at)
        SELECT user_id, 6, left(id, -1) || '6', kind, operation_type, credits, balance_after - 1, 'x', fingerprint, actor, details,
            hash, created_at FROM pedro_ledger.entry WHERE user_id = $1 AND seq = 5""",
        6,
    ),
    "insert between": (
        """WITH moved AS (UPDATE pedro_ledger.entry SET seq = seq + 10 WHERE user_id = $1 AND seq >= 3 RETURNING *)
        INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key,
            fingerprint, actor, details, hash, created_at)
        SELECT user_id, 3, id, kind, operation_type, credits, balance_after, 'x', fingerprint, actor, details, hash, created_at
        FROM moved WHERE seq = 14""",
        3,
    ),
    "rewrite the tail's hashes": (
        "UPDATE pedro_ledger.entry SET hash = sha256(hash) WHERE user_id = $1 AND seq > 3",
        4,
    ),
    "remove the account": ("DELETE FROM pedro_ledger.account WHERE user_id = $1", None),
    "empty the ledger": ("DELETE FROM pedro_ledger.entry WHERE user_id = $1", 1),
    "hide usage": ('DELETE FROM "UsageHistory" WHERE "userId" = $1', 2),
    "edit usage": ("""UPDATE "UsageHistory" SET "details" = '{"a": 2}' WHERE "userId" = $1""", 2),
    "invent usage": (
        """INSERT INTO "UsageHistory" SELECT 'x', "userId", "creditBalanceId", "operationType", 1, NULL, now() + '1 hour'
        FROM "UsageHistory" WHERE "userId" = $1 LIMIT 1""",
        None,
    ),
    "show more": ('UPDATE "CreditBalance" SET "creditsRemaining" = 1000 WHERE "userId" = $1', None),
    "give credits": ("UPDATE pedro_ledger.account SET posted = 1000 WHERE user_id = $1", 5),
}


async def problems(url: str) -> list[Finding]:
    return [
        problem for report in await audit(Database(parse_database_url(url)), quiet=True) for problem in report.problems
    ]


@pytest.mark.parametrize(("statement", "seq"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
async def test_tampering_is_found(api: Api, database_url: str, statement: str, seq: int | None) -> None:
    users = sorted([await api.user(100) for _ in range(3)])
    for user in users:
        for number in range(4):
            await api.deduct(user, 1, details={"a": number})
    assert await problems(database_url) == []
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', false)")
    await connection.execute(statement, users[1])
    await connection.close()
    found = await problems(database_url)
    assert (found[0].user_id, found[0].seq) == (users[1], seq)
    assert {problem.user_id for problem in found} == {users[1]}
