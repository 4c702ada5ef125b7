"""A user who cannot be taken over now, or at all, keeps nobody else from being taken over and
served.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.databases import TestServer
from tests.support.ledgers import make_user
from tests.support.pooler import pooler
from tests.support.processes import served

SHORT = {"operation_timeout_s": 2.0}
"""So that those who are in the way are answered while the test waits."""
COLD = [f"u{number}" for number in range(20)]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with Daemon(settings_for(database_url, **SHORT)).started() as running, Api.open(running) as api:
        yield api


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Connection]:
    """The app's own session, whose transaction stays open."""
    connection = await database.connect()
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
async def cold(connection: Connection) -> None:
    for user in COLD:
        await make_user(connection, user, 100)


async def make_bare_user(connection: Connection, user: str) -> None:
    """A user without a balance."""
    await connection.execute(
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ($1, 'clerk_' || $1, now())""", user
    )


async def served_beside(api: Api, held: str, end: Callable[[], Awaitable[object]]) -> None:
    """While somebody has locked what `held` needs, all others are served; it is told `busy`, and
    served after `end`.
    """
    waiting = asyncio.create_task(api.deduct(held, 1, key="k"))
    replies = await asyncio.gather(*(api.deduct(user, 1) for user in COLD if user != held))
    assert {reply.status for reply in replies} == {201}
    assert not waiting.done(), "the others did not wait for the one"
    assert (await api.get("/readyz", auth=None)).status == 200
    refused = await waiting
    assert (refused.status, refused.code, refused.json["outcome"]) == (503, "busy", "not_applied")
    assert refused.headers["Retry-After"]
    again = asyncio.create_task(api.deduct(held, 1, key="k"))
    await end()
    assert (await again).status in {201, 402}, "nothing has to be restarted"


async def test_a_balance_that_the_app_holds(api: Api, app: Connection) -> None:
    transaction = app.transaction()
    await transaction.start()
    await app.execute("""SELECT FROM "CreditBalance" WHERE "userId" = 'u7' FOR UPDATE""")
    await served_beside(api, "u7", transaction.rollback)
    assert await api.balance("u7") == 99


async def test_a_user_that_the_app_holds(api: Api, app: Connection) -> None:
    transaction = app.transaction()
    await transaction.start()
    await app.execute("""SELECT FROM "User" WHERE "id" = 'u7' FOR UPDATE""")
    await served_beside(api, "u7", transaction.rollback)
    assert await api.balance("u7") == 99


async def test_a_balance_that_the_app_has_not_committed(api: Api, app: Connection) -> None:
    await make_bare_user(app, "bare")
    transaction = app.transaction()
    await transaction.start()
    await app.execute(
        """INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "updatedAt") VALUES ('b', 'bare', 'clerk_bare', now())"""
    )
    await served_beside(api, "bare", transaction.commit)
    assert await api.balance("bare") == 99
    assert [each["type"] for each in await api.statement("bare")] == ["opening", "deduct"]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def backend_that_waits(connection: Connection, query: str) -> int:
    """The process that runs a query whose text contains `query`, and waits for a lock."""
    async with asyncio.timeout(30):
        while True:
            pid = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%' "
                "AND datname = current_database() AND pid <> pg_backend_pid() LIMIT 1",
                query,
            )
            if pid is not None:
                return int(pid)


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
async def test_an_adoption_whose_backend_falls_silent(
    database_url: str, connection: Connection, app: Connection, pooled: bool
) -> None:
    await make_bare_user(app, "bare")
    transaction = app.transaction()
    await transaction.start()
    await app.execute(
        """INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "updatedAt") VALUES ('b', 'bare', 'clerk_bare', now())"""
    )
    async with pooler(database_url, servers=8) as pooled_url:
        url = pooled_url if pooled else database_url
        async with Daemon(settings_for(url, DIRECT_URL=database_url)).started() as running, Api.open(running) as api:
            waiting = asyncio.create_task(api.deduct("bare", 1, key="k"))
            with stopped(await backend_that_waits(connection, "An empty balance")):
                await transaction.commit()
                replies = await asyncio.gather(*(api.deduct(user, 1) for user in COLD))
                assert {reply.status for reply in replies} == {201}
                assert not waiting.done()
                assert (await api.get("/readyz", auth=None)).status == 200
            reply = await waiting
            if reply.status == 503:
                reply = await api.deduct("bare", 1, key="k")
            assert reply.status == 201


async def test_a_load_whose_backend_falls_silent(api: Api, connection: Connection, app: Connection) -> None:
    """All loads wait for a table that the app has locked; of one of them the backend is stopped
    while it waits.
    """
    transaction = app.transaction()
    await transaction.start()
    await app.execute('LOCK TABLE "User" IN ACCESS EXCLUSIVE MODE')
    waiting = asyncio.create_task(api.deduct("clerk:clerk_u0", 1, key="k"))
    with stopped(await backend_that_waits(connection, "Accounts by user")):
        await transaction.rollback()
        replies = await asyncio.gather(*(api.deduct(user, 1) for user in COLD[1:]))
        assert {reply.status for reply in replies} == {201}
        assert not waiting.done()
    reply = await waiting
    if reply.status == 503:
        reply = await api.deduct("clerk:clerk_u0", 1, key="k")
    assert reply.status == 201


async def require_a_tier(connection: Connection) -> None:
    """As Prisma's client-side defaults make it: each row has a value, and the database has no
    default.
    """
    await connection.execute('ALTER TABLE "CreditBalance" ADD COLUMN "tier" text')
    await connection.execute("""UPDATE "CreditBalance" SET "tier" = 'free'""")
    await connection.execute('ALTER TABLE "CreditBalance" ALTER COLUMN "tier" SET NOT NULL')


async def test_a_user_who_cannot_be_taken_over(server: TestServer, database_url: str, connection: Connection) -> None:
    """The daemon as a process of its own: it ended with exit status 70, after each start."""
    await make_bare_user(connection, "bare")
    await require_a_tier(connection)
    for start in range(2):
        async with served(DATABASE_URL=database_url) as daemon:
            async with Api.at(daemon.address) as api:
                told, *others = await asyncio.gather(
                    api.deduct("bare", 1, key="k"), *(api.deduct(user, 1, key=str(start)) for user in COLD)
                )
                assert (told.status, told.code, told.json["outcome"]) == (503, "schema_changed", "not_applied")
                assert (told.json["table"], told.json["column"]) == ("CreditBalance", "tier")
                assert {reply.status for reply in others} == {201}
                ready = await hindered(api)
                assert ready.status == 200
                assert "tier" in ready.json["hindered"][0]
                metrics = (await api.get("/metrics", auth=None)).body.decode()
                assert 'pedro_ledger_adoptions_total{outcome="failed"} 1.0' in metrics
                assert f'pedro_ledger_adoptions_total{{outcome="adopted"}} {0 if start else len(COLD)}.0' in metrics
                if start:
                    await connection.execute("""ALTER TABLE "CreditBalance" ALTER COLUMN "tier" SET DEFAULT 'free'""")
                    assert (await api.deduct("bare", 1, key="k")).code == "insufficient_credits"
            assert daemon.process.returncode is None


async def hindered(api: Api) -> Reply:
    async with asyncio.timeout(30):
        while "hindered" not in (reply := await api.get("/readyz", auth=None)).json:
            await asyncio.sleep(0.05)
    return reply


async def test_a_trigger_of_the_apps_that_refuses_one_balance(api: Api, connection: Connection) -> None:
    await connection.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.\"userId\" = 'u7' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22023'; END IF; RETURN NEW; END $$; "
        'CREATE TRIGGER no BEFORE UPDATE ON "CreditBalance" FOR EACH ROW EXECUTE FUNCTION no()'
    )
    replies = await asyncio.gather(*(api.deduct(user, 1, key="k") for user in COLD))
    assert {reply.status for reply in replies if reply is not replies[7]} == {201}
    assert (replies[7].status, replies[7].code) == (503, "schema_changed"), "the caller did not choose these values"
    await connection.execute('DROP TRIGGER no ON "CreditBalance"')
    assert (await api.deduct("u7", 1, key="k")).status == 201


async def test_a_user_whose_clerk_id_another_balance_carries_gets_one_answer(api: Api, connection: Connection) -> None:
    await connection.execute("""UPDATE "User" SET "clerkId" = 'moved' WHERE "id" = 'u7'""")
    await connection.execute("""INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('new', 'clerk_u7', now())""")
    refused = await api.deduct("new", 1, key="k")
    assert (refused.status, refused.code, refused.json["field"]) == (409, "clerkid_taken", "clerkId")
    assert "u7" in refused.json["detail"]
    assert (await api.deduct("clerk:clerk_u7", 1, key="k")).code == "clerkid_taken"
    assert (await api.deduct("u7", 1)).status == 201
    await connection.execute("""UPDATE "CreditBalance" SET "clerkUserId" = 'moved' WHERE "userId" = 'u7'""")
    assert (await api.deduct("new", 1, key="k")).code == "insufficient_credits"
