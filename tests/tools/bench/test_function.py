"""The rival is a fair one: it deducts once, and never below zero."""

import asyncpg

from pedro_ledger.tools.bench.function import CALL, function_sql


async def test_the_function_deducts_what_there_is(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    try:
        await connection.execute(function_sql())
        await connection.execute(
            """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('u', 'c', now());
            INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
            VALUES ('b', 'u', 'c', 10, now())"""
        )
        row = await connection.fetchrow(CALL, "u", "AI_TEXT_CHAT", 7)
        assert row is not None
        assert row["credits_remaining"] == 3
        assert await connection.fetchrow(CALL, "u", "AI_TEXT_CHAT", 4) is None
        used = await connection.fetch('SELECT "id", "creditsUsed", "creditBalanceId" FROM "UsageHistory"')
        assert [tuple(each) for each in used] == [(row["entry_id"], 7, "b")]
    finally:
        await connection.close()
