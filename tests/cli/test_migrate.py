"""`migrate --check` and `--plan`: they tell what would be done, in words and by the exit status,
and do nothing.
"""

from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest

from pedro_ledger.store.schema.migrations import migration_files
from tests.support.databases import TestServer
from tests.support.prismamade import HISTORY, USERS
from tests.support.processes import command

EVERYTHING = """
    SELECT n.nspname, c.relname, c.xmin::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'pedro_ledger') ORDER BY 1, 2
"""
NAMES = [migration.name for migration in migration_files()]


@pytest.fixture
async def empty_url(server: TestServer) -> AsyncIterator[str]:
    name = await server.clone("template0")
    yield server.url(name)
    await server.drop(name)


async def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_an_empty_database_is_behind(empty_url: str) -> None:
    assert await command("migrate", "--check", DATABASE_URL=empty_url) == (
        1,
        "".join(f"pending  {name}\n" for name in NAMES),
        "",
    )
    assert await execute(empty_url, EVERYTHING) == []


async def test_a_database_of_the_apps_is_planned_with_its_users(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(USERS.format(users=7))
    await connection.close()
    before = await execute(prisma_database_url, EVERYTHING)
    status, out, err = await command("migrate", "--plan", "--json", DATABASE_URL=prisma_database_url)
    assert (status, err) == (0, "")
    planned = orjson.loads(out)
    assert (planned["users"], planned["historyRows"], planned["isAway"]) == (7, 0, False)
    assert planned["secondsAbout"] >= 1
    assert [(step["name"], step["adopts"]) for step in planned["pending"]] == [
        (NAMES[0], True),
        *((name, False) for name in NAMES[1:]),
    ]
    status, out, _ = await command("migrate", "--check", DATABASE_URL=prisma_database_url)
    assert (status, out.splitlines()[0]) == (1, f"pending  {NAMES[0]}: is there, is taken over")
    assert out.splitlines()[-1] == "pending  7 users to adopt, each otherwise on the first touch"
    assert await execute(prisma_database_url, EVERYTHING) == before


async def test_the_plan_says_what_the_app_can_no_longer_do(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(USERS.format(users=7) + HISTORY.format(users=7, rows=70))
    before = await execute(prisma_database_url, EVERYTHING)
    status, out, err = await command("migrate", "--plan", DATABASE_URL=prisma_database_url)
    assert (status, err) == (0, "")
    assert await execute(prisma_database_url, EVERYTHING) == before
    lines = out.splitlines()
    for line in (
        "refused   INSERT UsageHistory: usage is recorded by the daemon; POST /v1/users/{user}/deduct",
        "refused   UPDATE CreditBalance: credits change only through the daemon; POST /v1/users/{user}/deduct, refund or grants",
        "refused   DELETE User: a user with an account or with history stays; set isActive to false instead",
        "followed  INSERT OR UPDATE OR DELETE SubscriptionEvent: the account follows the plan",
    ):
        assert line in lines, out
    assert lines[-1].startswith("takes    about 1 s: 70 rows of usage at ")
    assert (await command("migrate", DATABASE_URL=prisma_database_url))[0] == 0
    assert await execute(
        prisma_database_url, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname = 'user_stays'"
    ) == [(1,)]
    assert await command("migrate", "--plan", DATABASE_URL=prisma_database_url) == (0, "up to date\n", "")
    await connection.close()


async def test_an_obstacle_is_told_before_anything_is_done(prisma_database_url: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute('ALTER TABLE "UsageHistory" DROP COLUMN "details"')
    await connection.close()
    for option in ("--check", "--plan"):
        status, _, err = await command("migrate", option, DATABASE_URL=prisma_database_url)
        assert (status, '"UsageHistory" has no column "details"' in err) == (2, True), err


async def test_a_database_that_is_up_to_date_or_newer(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(USERS.format(users=2))
    assert await command("migrate", "--check", "--json", DATABASE_URL=database_url) == (
        0,
        '{"pending":[],"users":2,"isAway":false}\n',
        "",
    )
    assert (await command("migrate", DATABASE_URL=database_url))[0] == 0
    assert await command("migrate", "--check", DATABASE_URL=database_url) == (0, "up to date\n", "")
    await connection.execute(
        "INSERT INTO pedro_ledger.schema_migration (version, name, checksum, adopted) VALUES (9999, '9999_later', 'x', false)"
    )
    await connection.close()
    for option in ("--check", "--plan"):
        status, _, err = await command("migrate", option, DATABASE_URL=database_url)
        assert (status, "upgrade pedro-ledger" in err) == (2, True), err
