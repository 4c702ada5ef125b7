"""Users whom the app made: adopted with what they had, whole databases and one by one."""

import asyncio

import asyncpg
import pytest

from pedro_ledger.cli import migrate as command
from pedro_ledger.cli.verify import audit
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema.partitions import convert
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.prismamade import answers, fill

USERS = """
INSERT INTO "User" ("id", "clerkId", "updatedAt") SELECT 'u' || n, 'c' || n, now() FROM generate_series(1, 2500) n;
INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
    SELECT 'b' || n, 'u' || n, 'c' || n, n - 3, now() FROM generate_series(1, 2500) n;
"""
HISTORY = """
INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")
    SELECT 'h' || n, 'u' || n, 'b' || n, 'AI_TEXT_CHAT', 1, now() - interval '1 day' FROM generate_series(1, 2500) n;
"""


async def clean(url: str) -> bool:
    reports = await audit(Database(parse_database_url(url)), quiet=True)
    return not [problem for report in reports for problem in report.problems]


async def test_a_whole_database_is_adopted(prisma_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(USERS + HISTORY)
    assert await command.main(settings_for(prisma_database_url), check=True, plan=False, as_json=False) == 1
    assert await command.main(settings_for(prisma_database_url), check=False, plan=False, as_json=False) == 0
    told = capsys.readouterr().out
    assert "2500 users adopted" in told
    assert "2 of them had been overdrawn by 3 credits" in told
    assert await command.main(settings_for(prisma_database_url), check=True, plan=False, as_json=False) == 0
    rows = await connection.fetch('SELECT "creditsRemaining" FROM "CreditBalance" ORDER BY substr("id", 2)::int')
    assert [row[0] for row in rows] == [0, 0, *range(2498)]
    assert await connection.fetchval('SELECT count(*) FROM "UsageHistory"') == 2500
    opening = await connection.fetchrow("SELECT kind, credits, details FROM pedro_ledger.entry WHERE user_id = 'u1'")
    assert tuple(opening) == ("opening", 0, '{"balanceBefore":-2,"forgiven":2}')
    await connection.close()
    assert await clean(prisma_database_url)


async def test_the_apps_queries_answer_as_before_adopted_and_partitioned(prisma_database_url: str) -> None:
    """`tests/system/scale/adoption_at_size.py` does the same with a million rows."""
    connection = await asyncpg.connect(prisma_database_url)
    await fill(connection, users=200, rows=20_000)
    before = await answers(connection)
    assert await command.main(settings_for(prisma_database_url), check=False, plan=False, as_json=True) == 0
    assert await answers(connection) == before
    await convert(Database(parse_database_url(prisma_database_url)))
    assert await answers(connection) == before
    await connection.close()
    assert await clean(prisma_database_url)


async def test_users_whom_the_app_makes_later_are_adopted_on_first_touch(api: Api, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(USERS)
    await connection.execute("""INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('bare', 'bare', now())""")
    await connection.close()
    assert (await api.get("/v1/users/u103/balance")).json["creditsRemaining"] == 100
    replies = await asyncio.gather(*(api.deduct(ref, 1) for ref in ("u103", "clerk:c103", "u104", "bare", "u1")))
    assert [reply.status for reply in replies] == [201, 201, 201, 402, 402]
    assert [entry["type"] for entry in await api.statement("u103")] == ["opening", "deduct", "deduct"]
    assert await clean(database_url)


async def test_replicas_that_touch_a_new_user_at_once_adopt_it_once(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(USERS)
    async with (
        Daemon(settings_for(database_url)).started() as one,
        Daemon(settings_for(database_url)).started() as two,
        Api.open(one) as first,
        Api.open(two) as second,
    ):
        users = [f"u{number}" for number in range(503, 603)]
        replies = await asyncio.gather(*(api.deduct(user, 1) for user in users for api in (first, second)))
        assert {reply.status for reply in replies} == {201}
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.entry WHERE kind = 'opening'") == 100
    await connection.close()
    assert await clean(database_url)
