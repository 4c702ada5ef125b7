"""A database as the app filled it for a year through Prisma, and the app's own queries of it."""

from hashlib import sha256

from pedro_ledger.postgres.database import Connection

USERS = """
    INSERT INTO "User" ("id", "clerkId", "email", "name", "createdAt", "updatedAt")
    SELECT 'cm' || lpad(n::text, 23, '0'), 'user_' || n, 'user' || n || '@example.com', 'User ' || n, now() - interval '400 days', now()
    FROM generate_series(1, {users}) AS n;
    INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
    SELECT 'cb' || lpad(n::text, 23, '0'), 'cm' || lpad(n::text, 23, '0'), 'user_' || n, n % 500, now()
    FROM generate_series(1, {users}) AS n;
"""
HISTORY = """
    INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "details", "timestamp")
    SELECT 'ch' || md5(n::text), 'cm' || lpad((n % {users} + 1)::text, 23, '0'), 'cb' || lpad((n % {users} + 1)::text, 23, '0'),
        (enum_range(NULL::"OperationType"))[n % 5 + 1], CASE WHEN n % 20 = 0 THEN -1 ELSE n % 7 + 1 END,
        jsonb_build_object('model', 'm' || n % 9, 'tokens', n % 4000), now() - interval '1 hour' - n * interval '1 year' / {rows}
    FROM generate_series(1, {rows}) AS n;
"""
APP_QUERIES = {
    "a user with balance": """SELECT u."id", u."clerkId", b."creditsRemaining" FROM "User" AS u
        LEFT JOIN "CreditBalance" AS b ON b."userId" = u."id" WHERE u."clerkId" = 'user_7'""",
    "a user's newest usage": """SELECT "id", "operationType"::text, "creditsUsed", "details"::text, "timestamp" FROM "UsageHistory"
        WHERE "userId" = (SELECT "id" FROM "User" WHERE "clerkId" = 'user_7') ORDER BY "timestamp" DESC LIMIT 20""",
    "one row of usage by id": """SELECT "id", "userId", "creditsUsed", "timestamp" FROM "UsageHistory" WHERE "id" = 'ch' || md5('42')""",
    "credits used by operation": """SELECT "operationType"::text, count(*), sum("creditsUsed") FROM "UsageHistory"
        WHERE "timestamp" >= now()::date - interval '30 days' AND "timestamp" < now()::date GROUP BY 1 ORDER BY 1""",
    "low balances": """SELECT "userId", "creditsRemaining" FROM "CreditBalance" WHERE "creditsRemaining" < 10
        ORDER BY "creditsRemaining", "userId" LIMIT 50""",
    "all of it": """SELECT count(*), sum("creditsUsed"),
        sum(hashtext("id" || "userId" || "timestamp"::text)::bigint) FROM "UsageHistory" """,
}


async def fill(connection: Connection, users: int, rows: int) -> None:
    """Users with balances, and a year of their usage."""
    await connection.execute(USERS.format(users=users))
    await connection.execute(HISTORY.format(users=users, rows=rows))
    await connection.execute("ANALYZE")


async def answers(connection: Connection) -> dict[str, str]:
    """What each of the app's queries answers, as a digest."""
    return {
        name: sha256(repr([tuple(row) for row in await connection.fetch(query)]).encode()).hexdigest()
        for name, query in APP_QUERIES.items()
    }
