"""`leave` and coming back: the app writes as before meanwhile, and the ledger adopts what it
did.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import orjson
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.store.schema.test_migrations import CATALOG
from tests.support.client import Api
from tests.support.databases import TestServer, temporary_folder
from tests.support.ledgers import make_user
from tests.support.processes import command

OURS = """SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
    WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace ORDER BY 1, 2"""
KEYS = """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1"""
RAW = {
    "days": """SELECT
        "timestamp"::date, "operationType"::text, count(*), sum("creditsUsed") FROM "UsageHistory" GROUP BY 1, 2 ORDER BY 1, 2""",
    "bands": """SELECT
        pedro_ledger.band("creditsRemaining"), count(*), sum("creditsRemaining") FROM "CreditBalance" GROUP BY 1 ORDER BY 1""",
    "signups": """SELECT "createdAt"::date, count(*) FROM "User" GROUP BY 1 ORDER BY 1""",
}
ROLLED_UP = {
    "days": """SELECT day, operation_type, sum(uses), sum(credits) FROM (SELECT day, operation_type, uses, credits
        FROM pedro_ledger.usage_by_day UNION ALL SELECT day, operation_type, uses, credits FROM pedro_ledger.usage_pending) AS all_of_it
        GROUP BY 1, 2 ORDER BY 1, 2""",
    "bands": """SELECT band, sum(users), sum(credits) FROM (SELECT * FROM pedro_ledger.balance_by_band
        UNION ALL SELECT * FROM pedro_ledger.balance_pending) AS all_of_it GROUP BY 1 HAVING sum(users) <> 0 ORDER BY 1""",
    "signups": """SELECT day, sum(users) FROM (SELECT * FROM pedro_ledger.signup_by_day
        UNION ALL SELECT * FROM pedro_ledger.signup_pending) AS all_of_it GROUP BY 1 ORDER BY 1""",
}


async def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await connection.fetch(query)]


async def done(*arguments: str, url: str) -> str:
    status, out, err = await command(*arguments, DATABASE_URL=url, PEDRO_LOG_LEVEL="error")
    assert status == 0, err
    return out


async def use(connection: Connection, user: str, credits: int, row_id: str) -> None:
    """What the app's own `deductCredits` does."""
    async with connection.transaction():
        await connection.execute(
            'UPDATE "CreditBalance" SET "creditsRemaining" = "creditsRemaining" - $2 WHERE "userId" = $1', user, credits
        )
        await connection.execute(
            'INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp") '
            """SELECT $2, "userId", "id", 'AI_TEXT_CHAT', $3, now() AT TIME ZONE 'UTC' FROM "CreditBalance" WHERE "userId" = $1""",
            user, row_id, credits,
        )  # fmt: skip


class People(NamedTuple):
    """Users of the ledger, by what the app does to them while it is away."""

    spender: str
    gifted: str
    idle: str
    overdrawn: str
    holder: str
    removed: str
    remade: str


async def serve_a_while(url: str) -> People:
    """Users as the daemon leaves them: entries of many kinds, an open lot, open holds."""
    async with Daemon(settings_for(url)).started() as running, Api.open(running) as api:
        people = People(*[await api.user(100) for _ in People._fields])
        for user in people:
            assert (await api.deduct(user, 10)).status == 201
        await api.grant(people.spender, 50, expiresIn=3600)
        for credits in (40, 30):
            assert (await api.post(f"/v1/users/{people.holder}/holds", hold(credits), key=f"h-{credits}")).status == 201
    return people


def hold(credits: int) -> dict[str, object]:
    return {"operationType": "AI_TEXT_CHAT", "credits": credits, "expiresIn": 3600}


async def test_the_app_writes_meanwhile_and_everything_is_adopted(database_url: str, connection: Connection) -> None:
    people = await serve_a_while(database_url)
    guards, keys = await rows(connection, OURS), await rows(connection, KEYS)
    told = await done("leave", url=database_url)
    assert len([line for line in told.splitlines() if line.startswith("removed")]) == len(guards) > 15
    assert await rows(connection, OURS) == []
    assert all("NOT ENFORCED" not in str(definition) for _, definition in await rows(connection, KEYS))

    await use(connection, people.spender, 120, "row-1")
    await use(connection, people.spender, -15, "row-2")
    await use(connection, people.holder, 60, "row-3")
    await use(connection, people.overdrawn, 104, "row-4")
    await connection.execute('UPDATE "CreditBalance" SET "creditsRemaining" = 990 WHERE "userId" = $1', people.gifted)
    await make_user(connection, "newcomer", 70)
    await use(connection, "newcomer", 5, "row-5")
    await connection.execute('DELETE FROM "UsageHistory" WHERE "userId" = $1', people.idle)
    await connection.execute('DELETE FROM "UsageHistory" WHERE "userId" = ANY ($1)', [people.removed, people.remade])
    await connection.execute('DELETE FROM "User" WHERE "id" = $1', people.removed)
    await connection.execute('UPDATE "CreditBalance" SET "id" = \'other\' WHERE "userId" = $1', people.remade)
    await connection.execute(
        """INSERT INTO "Plan" ("id", "name", "credits", "updatedAt") VALUES ('pro', 'Pro', 1, now())"""
    )
    await connection.execute(
        """INSERT INTO "SubscriptionEvent" ("id", "userId", "clerkUserId", "planKey", "status", "eventType")
        SELECT 'event', "id", "clerkId", 'Pro', 'active', 'subscription.created' FROM "User" WHERE "id" = $1""",
        people.gifted,
    )

    back = orjson.loads(await done("migrate", "--json", url=database_url))
    assert back["returned"] == {
        "guards": len(guards) + len(changed(keys)),
        "adjusted": 5,
        "credits": 555,
        "forgiven": 14,
        "uses": 4,
    }
    assert await rows(connection, OURS) == guards
    assert await rows(connection, KEYS) == keys
    balances = dict(await rows(connection, 'SELECT "userId", "creditsRemaining" FROM "CreditBalance"'))
    assert balances == {
        people.spender: 35, people.gifted: 990, people.idle: 90, people.overdrawn: 0, people.holder: 30,
        people.removed: 0, people.remade: 90, "newcomer": 65,
    }  # fmt: skip
    assert (
        await connection.fetchval("SELECT plan_id FROM pedro_ledger.account WHERE user_id = $1", people.gifted) == "pro"
    )
    for part, raw in RAW.items():
        assert await rows(connection, ROLLED_UP[part]) == await rows(connection, raw), part

    # The app removed rows of history that entries stand behind: that is told, and nothing else.
    _, out, _ = await command("verify", "--json", DATABASE_URL=database_url)
    found = orjson.loads(out)["problems"]
    assert {(each["problem"]) for each in found} == {"the app's UsageHistory does not show the entry as it is"}
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        assert (await api.deduct(people.spender, 30)).json["creditsRemaining"] == 5
        assert (await api.deduct(people.spender, 6)).status == 402
        assert (await api.deduct(people.remade, 1)).status == 201
    with pytest.raises(asyncpg.RestrictViolationError):
        await use(connection, people.spender, 1, "row-9")


def changed(keys: list[tuple[object, ...]]) -> list[object]:
    return [name for name, definition in keys if "NOT ENFORCED" in str(definition)]


async def test_a_balance_that_the_app_used_is_all_right_again(database_url: str, connection: Connection) -> None:
    people = await serve_a_while(database_url)
    for turn in range(2):
        await done("leave", url=database_url)
        for user in people:
            await use(connection, user, 7, f"{turn}-{user}")
        assert "back in use" in await done("migrate", url=database_url)
        assert "the books are in order" in await done("verify", url=database_url)
    assert await done("migrate", "--check", url=database_url) == "up to date\n"


async def test_nobody_writes_to_a_ledger_that_is_out_of_use(database_url: str, connection: Connection) -> None:
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        user = await api.user(100)
        await done("leave", url=database_url)
        refused = await api.deduct(user, 10)
        assert (refused.status, refused.json["code"]) == (503, "unavailable")
        assert await connection.fetchval('SELECT "creditsRemaining" FROM "CreditBalance"') == 100
    status, _, err = await command("serve", "--port", "0", DATABASE_URL=database_url)
    assert (status, "pedro-ledger migrate brings it back" in err) == (2, True)
    assert "was out of use already" in await done("leave", url=database_url)


async def test_the_plan_changes_nothing(database_url: str, connection: Connection) -> None:
    guards = await rows(connection, OURS)
    told = await done("leave", "--plan", url=database_url)
    assert told.count("would be removed") == len(guards)
    assert await rows(connection, OURS) == guards
    assert await done("migrate", "--check", url=database_url) == "up to date\n"


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with temporary_folder() as folder:
        yield folder


async def test_the_ledger_goes_only_after_a_backup(
    database_url: str, connection: Connection, folder: Path, server: TestServer, prisma_database_url: str
) -> None:
    people = await serve_a_while(database_url)
    for arguments in (("--drop",), ("--backup", str(folder / "b"))):
        status, _, err = await command("leave", *arguments, DATABASE_URL=database_url)
        assert (status, "leave --drop --backup FILE" in err) == (2, True)
    await connection.execute("CREATE VIEW public.mine AS SELECT user_id FROM pedro_ledger.account")
    status, _, err = await command("leave", "--drop", "--backup", str(folder / "a"), DATABASE_URL=database_url)
    assert (status, "view mine" in err) == (2, True), err
    await connection.execute("DROP VIEW public.mine")
    await done("leave", "--drop", "--backup", str(folder / "b"), url=database_url)
    assert await connection.fetchval("SELECT to_regnamespace('pedro_ledger')") is None
    prisma = await asyncpg.connect(prisma_database_url)
    for part, query in {**CATALOG, "keys": KEYS}.items():
        assert await rows(connection, query) == await rows(prisma, query), part
    await prisma.close()
    await use(connection, people.idle, 5, "row")
    name = await server.clone("template0")
    try:
        status, out, err = await command("restore", str(folder / "b"), DATABASE_URL=server.url(name))
        assert (status, "the books are in order" in out) == (0, True), err
    finally:
        await server.drop(name)
