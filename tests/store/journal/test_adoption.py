"""Users whom the app made: adopted with what they had, whole databases and one by one."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from pedro_ledger.cli import migrate as command
from pedro_ledger.cli.verify import audit
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger.errors import NotServed
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.schema.migrations import migrate
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


@pytest.fixture
async def adopter(database: Database) -> AsyncIterator[Adopter]:
    adopter = Adopter(database)
    yield adopter
    adopter.close()


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


async def test_who_cannot_be_adopted_now_is_left_out_and_adopted_on_the_first_touch(
    prisma_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(USERS)
    await connection.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.\"userId\" IN ('u8', 'u1700') THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$; "
        'CREATE TRIGGER no BEFORE UPDATE ON "CreditBalance" FOR EACH ROW EXECUTE FUNCTION no()'
    )
    holder = await asyncpg.connect(prisma_database_url)
    # The migrations lock the tables themselves, so only what follows them meets the app's lock.
    await migrate(Database(parse_database_url(prisma_database_url)))
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("""SELECT FROM "CreditBalance" WHERE "userId" IN ('u9', 'u10') FOR UPDATE""")
    assert await command.main(settings_for(prisma_database_url), check=False, plan=False, as_json=False) == 0
    told = capsys.readouterr().out
    assert "2496 users adopted" in told
    assert "4 users were left out" in told
    await transaction.rollback()
    await connection.execute('DROP TRIGGER no ON "CreditBalance"')
    async with Daemon(settings_for(prisma_database_url)).started() as running, Api.open(running) as api:
        replies = await asyncio.gather(*(api.deduct(user, 1) for user in ("u8", "u9", "u10", "u1700")))
        assert {reply.status for reply in replies} == {201}
    await holder.close()
    await connection.close()
    assert await clean(prisma_database_url)


async def test_what_becomes_of_each_user_is_told(
    database: Database,
    adopter: Adopter,
    connection: asyncpg.Connection,  # type: ignore[type-arg]
) -> None:
    await connection.execute(USERS)
    await connection.execute(
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('bare', 'bare', now()), ('heir', 'old', now())"""
    )
    await connection.execute("""UPDATE "CreditBalance" SET "clerkUserId" = 'old' WHERE "userId" = 'u5'""")
    holder = await database.connect()
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("""SELECT FROM "CreditBalance" WHERE "userId" = 'u7' FOR UPDATE""")
    left_out = await adopter.adopt(["u6", "u7", "bare", "heir", "nobody"])
    assert {user: error.facts.get("code", error.code) for user, error in left_out.items()} == {
        "u7": "busy", "heir": "clerkid_taken",
    }  # fmt: skip
    assert await adopter.adopt(["u6"]) == {}, "once more"
    await transaction.rollback()
    assert await adopter.adopt(["u7"]) == {}
    await holder.close()
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.entry WHERE kind = 'opening'") == 3


async def test_who_makes_a_balance_at_this_moment_is_waited_for_and_only_so_long(
    database: Database,
    adopter: Adopter,
    connection: asyncpg.Connection,  # type: ignore[type-arg]
) -> None:
    await connection.execute(USERS)
    await connection.execute("""INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('bare', 'bare', now())""")
    holder = await database.connect()
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(
        """INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "updatedAt") VALUES ('b', 'bare', 'bare', now())"""
    )
    with pytest.raises(NotServed) as caught:
        await adopter.adopt(["u6", "bare"])
    assert caught.value.error.code == "busy"
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.account WHERE user_id = 'u6'") == 1
    await transaction.commit()
    assert await adopter.adopt(["bare"]) == {}
    await holder.close()
