"""A user's plan is a row of `Plan`, whatever that row is called, and follows from the events
whenever they commit.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from pedro_ledger.cli.verify import audit
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from tests.billing.test_waiting import comes_true, listed, made, paid
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.webhooks import SETTINGS, asaas, asaas_payment, clerk, clerk_item

EVENT = """INSERT INTO public."SubscriptionEvent" ("id", "clerkUserId", "planKey", "status", "eventType", "occurredAt")
    VALUES ($1, $2, $3, $4, 'subscription.updated', now() + $5 * interval '1 second')"""


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    """The app's own connection."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def add_plan(connection: Connection, plan: str, name: str, price: int, **ids: str) -> None:
    await connection.execute(
        """INSERT INTO public."Plan" ("id", "name", "credits", "features", "clerkId", "asaasId", "updatedAt")
        VALUES ($1, $2, 500, jsonb_build_object('AI_TEXT_CHAT', $3::int), $4, $5, now())""",
        plan, name, price, ids.get("clerk"), ids.get("asaas"),
    )  # fmt: skip


async def price(api: Api, user: str) -> int | str:
    """What a deduct without credits costs; given back, so that it can be asked for ever."""
    await api.parts.prices.refresh()
    reply = await api.deduct(user, None)
    if reply.status != 201:
        return reply.code
    assert (await api.refund(user, entryId=reply.json["entryId"])).status == 201
    return int(reply.json["credits"])


async def rename(connection: Connection, plan: str, name: str) -> None:
    await connection.execute('UPDATE public."Plan" SET "name" = $2, "updatedAt" = now() WHERE "id" = $1', plan, name)


async def event(
    connection: Connection, event_id: str, plan_key: str | None, clerk_id: str = "user_1", *, at_s: int = 0
) -> None:
    await connection.execute(EVENT, event_id, clerk_id, plan_key, "active", at_s)


async def problems(url: str) -> list[tuple[str, str]]:
    reports = await audit(Database(parse_database_url(url)), quiet=True)
    return [(each.user_id, each.what) for report in reports for each in report.problems]


async def test_a_retired_plan_and_a_new_one_of_the_same_name_are_two(hooked: Api, connection: Connection) -> None:
    await add_plan(connection, "old", "Pro", 2, clerk="cplan_old")
    first = await made(hooked, "user_1")
    await clerk(hooked, clerk_item("user_1", plan="cplan_old"))
    assert await price(hooked, first) == 2
    await connection.execute('UPDATE public."Plan" SET "active" = false')
    await add_plan(connection, "new", "Pro", 7, clerk="cplan_new")
    second = await made(hooked, "user_2")
    await clerk(hooked, clerk_item("user_2", plan="cplan_new", item="csi_2"))
    assert [await price(hooked, user) for user in (first, second)] == [2, 7]
    await clerk(hooked, clerk_item("user_1", plan="cplan_old", start="2026-12-01"))
    assert [await price(hooked, user) for user in (first, second)] == [2, 7]
    keys = [row[0] for row in await connection.fetch('SELECT "planKey" FROM "SubscriptionEvent" ORDER BY "createdAt"')]
    assert keys == ["Pro", "new", "old"], "a name is shown where it names one plan"


async def test_a_plan_that_is_renamed_keeps_its_subscribers(
    hooked: Api, plans: None, connection: Connection, database_url: str
) -> None:
    by_webhook, by_app = await made(hooked, "user_1"), await made(hooked, "user_2")
    await clerk(hooked, clerk_item("user_1"))
    await event(connection, "e1", "Pro", "user_2")
    assert [await price(hooked, user) for user in (by_webhook, by_app)] == [2, 2]
    await rename(connection, "p1", "Pro 2027")
    await add_plan(connection, "p9", "Pro", 9)
    assert [await price(hooked, user) for user in (by_webhook, by_app)] == [2, 2]
    await event(connection, "e2", "Pro 2027", "user_2", at_s=1)
    await connection.execute(EVENT, "e3", "user_2", "p1", "ended", 2)
    assert await price(hooked, by_app) == "no_price", "the event that ended it named it by its new name and its id"
    assert await problems(database_url) == []


async def test_a_subscription_goes_on_where_its_plan_is_told_by_a_name(hooked: Api, connection: Connection) -> None:
    """Asaas tells the description that the subscription was made with, for ever."""
    await add_plan(connection, "old", "Pro", 2)
    user = await made(hooked, "user_1")

    def charge(number: int, description: str) -> dict[str, Any]:
        return asaas_payment(
            "CONFIRMED", payment=f"pay_{number}", reference="user_1", description=description,
            at=f"2026-1{number}-02 10:00:00",
        )  # fmt: skip

    assert (await asaas(hooked, charge(0, "Pro"))).json["state"] == "applied"
    await add_plan(connection, "new", "Pro", 7)
    assert (await asaas(hooked, charge(1, "Pro"))).json["state"] == "applied"
    await rename(connection, "old", "Pro (2026)")
    await rename(connection, "new", "Pro+")
    assert (await asaas(hooked, charge(2, "Pro"))).json["state"] == "applied"
    assert await price(hooked, user) == 2
    assert await hooked.balance(user) == 100 + 3 * 500
    given = await connection.fetch("SELECT DISTINCT plan_id FROM pedro_ledger.plan_period")
    assert [row[0] for row in given] == ["old"]
    other = asaas_payment(
        "CONFIRMED", payment="pay_9", reference="user_1", description="Pro+", at="2027-01-02 10:00:00"
    )
    assert (await asaas(hooked, other)).json["state"] == "applied"
    assert await price(hooked, user) == 7, "an event that names another plan moves the subscription there"


async def test_a_caller_who_names_two_plans_is_refused(hooked: Api, connection: Connection) -> None:
    await add_plan(connection, "old", "Pro", 2)
    await add_plan(connection, "new", "Pro", 7)
    user = await made(hooked, "user_1")
    body = {"clerkUserId": "user_1", "status": "active", "eventType": "subscription.created"}
    refused = await hooked.post("/v1/subscription-events", body | {"planKey": "Pro"})
    assert (refused.status, refused.code) == (409, "plan_ambiguous")
    assert refused.json["plans"] == ["new", "old"]
    assert await connection.fetchval('SELECT count(*) FROM "SubscriptionEvent"') == 0
    assert (await hooked.post("/v1/subscription-events", body | {"planKey": "new"})).status == 201
    assert await price(hooked, user) == 7
    assert (await hooked.post("/v1/subscription-events", body | {"planKey": "no such plan"})).status == 201


async def test_an_app_that_names_two_plans_is_listed_and_changes_nothing(
    hooked: Api, connection: Connection, database_url: str
) -> None:
    await add_plan(connection, "old", "Pro", 2)
    user = await made(hooked, "user_1")
    await event(connection, "e1", "Pro")
    await add_plan(connection, "new", "Pro", 7)
    await event(connection, "e2", "Pro", at_s=1)

    async def is_listed() -> bool:
        return await listed(hooked) == [("e2", "plan_ambiguous")]

    await comes_true(is_listed)
    (item,) = (await hooked.get("/v1/webhook-deliveries?state=waiting")).json["items"]
    assert (item["id"], item["provider"], item["subject"]) == ("app:e2", "app", "user_1")
    assert await price(hooked, user) == 2

    async def is_counted() -> bool:
        await hooked.parts.webhooks.tick()
        told = (await hooked.get("/metrics", auth=None)).body
        return b'pedro_ledger_webhook_deliveries{state="waiting"} 1.0' in told

    await comes_true(is_counted)
    await rename(connection, "old", "Pro (2026)")

    async def has_come() -> bool:
        return await listed(hooked) == [] and await price(hooked, user) == 7

    await comes_true(has_come)
    assert await problems(database_url) == []


async def test_a_webhook_that_names_two_plans_waits(hooked: Api, connection: Connection) -> None:
    await add_plan(connection, "old", "Pro", 2)
    await add_plan(connection, "new", "Pro", 7)
    user = await made(hooked, "user_1")
    unpaid = asaas_payment("OVERDUE", reference="user_1|Pro", event_id="evt_1", at="2026-11-01 09:00:00")
    for number, delivery in enumerate((unpaid, paid("user_1", "Pro", event_id="evt_2"))):
        reply = await asaas(hooked, delivery)
        assert (reply.json["state"], reply.json["reason"]) == ("waiting", "plan_ambiguous"), number
    assert await hooked.balance(user) == 100
    await rename(connection, "old", "Pro (2026)")

    async def has_come() -> bool:
        return await listed(hooked) == [] and await hooked.balance(user) == 600

    await comes_true(has_come)
    assert await price(hooked, user) == 7


async def test_a_plan_that_appears_prices_who_is_on_it(hooked: Api, connection: Connection) -> None:
    """An event may name a plan by what only the provider calls it, and come before the plan."""
    users = [await made(hooked, f"user_{number}") for number in (1, 2, 3)]
    await clerk(hooked, clerk_item("user_1"))
    await asaas(hooked, paid("user_2", "asaas_pro"))
    await event(connection, "e1", "Professional", "user_3")
    assert [await price(hooked, user) for user in users] == ["no_price"] * 3
    await add_plan(connection, "p1", "Professional", 3, clerk="cplan_pro", asaas="asaas_pro")

    async def has_come() -> bool:
        return [await price(hooked, user) for user in users] == [3, 3, 3]

    await comes_true(has_come)


async def test_an_event_that_commits_while_its_user_is_adopted_counts(
    hooked: Api, plans: None, connection: Connection, other: Connection, database_url: str
) -> None:
    for number in (1, 2):
        await connection.execute(
            """INSERT INTO "User" (id, "clerkId", "updatedAt") VALUES ('u' || $1::int, 'user_' || $1::int, now())""",
            number,
        )
    transaction = other.transaction()
    await transaction.start()
    await event(other, "e1", "Pro", "user_1")
    assert (await hooked.grant("u1", 10)).status == 201, "the app's transaction holds nothing that adoption needs"
    assert await price(hooked, "u1") == "no_price"
    await transaction.commit()
    assert await price(hooked, "u1") == 2
    assert await problems(database_url) == []


@pytest.mark.parametrize("way", ["adopted", "made"])
async def test_an_event_waits_for_the_user_who_is_adopted_or_made_at_the_moment(
    hooked: Api, plans: None, connection: Connection, other: Connection, database_url: str, way: str
) -> None:
    """The account is there and not committed yet, while the event commits."""
    await connection.execute(
        """CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END $$;
        CREATE CONSTRAINT TRIGGER dawdles AFTER INSERT ON pedro_ledger.account DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.dawdle()"""
    )
    if way == "adopted":
        await connection.execute("""INSERT INTO "User" (id, "clerkId", "updatedAt") VALUES ('u1', 'user_1', now())""")
    await connection.execute("SELECT pg_advisory_lock(77)")
    call = hooked.grant("u1", 10) if way == "adopted" else hooked.post("/v1/users", {"clerkId": "user_1"})
    making = asyncio.create_task(call)
    await blocked(connection, 1)
    telling = asyncio.create_task(event(other, "e1", "Pro"))
    await asyncio.wait([telling], timeout=0.3)
    await connection.execute("SELECT pg_advisory_unlock(77)")
    assert (await making).status == 201
    await telling
    user = (await hooked.get("/v1/users/clerk:user_1")).json["id"]
    assert await price(hooked, user) == 2
    assert await problems(database_url) == []


async def blocked(connection: Connection, count: int) -> None:
    """Until so many sessions wait for an advisory lock."""

    async def are() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 77"
        return bool(await connection.fetchval(waiting) >= count)

    await comes_true(are)


async def test_an_event_that_is_deleted_or_changed_is_followed(
    hooked: Api, plans: None, connection: Connection, database_url: str
) -> None:
    user = await made(hooked, "user_1")
    await event(connection, "e1", "Pro")
    await event(connection, "e2", "Max", at_s=1)
    assert await price(hooked, user) == 1
    await connection.execute("""DELETE FROM "SubscriptionEvent" WHERE id = 'e2'""")
    assert await price(hooked, user) == 2
    await connection.execute("""UPDATE "SubscriptionEvent" SET "planKey" = 'p2' WHERE id = 'e1'""")
    assert await price(hooked, user) == 1
    await connection.execute("""UPDATE "SubscriptionEvent" SET "clerkUserId" = 'user_2' WHERE id = 'e1'""")
    assert await price(hooked, user) == "no_price"
    second = await made(hooked, "user_2")
    assert await price(hooked, second) == 1
    await connection.execute("""UPDATE "User" SET "clerkId" = 'user_3' WHERE "clerkId" = 'user_2'""")
    assert await price(hooked, second) == "no_price"
    await connection.execute("""UPDATE "User" SET "clerkId" = 'user_2' WHERE "clerkId" = 'user_1'""")
    assert await price(hooked, user) == 1
    await connection.execute('DELETE FROM "SubscriptionEvent"')
    assert await price(hooked, user) == "no_price"
    assert await problems(database_url) == []


async def test_verify_compares_the_plan_with_the_events(
    hooked: Api, plans: None, connection: Connection, database_url: str
) -> None:
    user = await made(hooked, "user_1")
    await event(connection, "e1", "Pro")
    assert await problems(database_url) == []
    await connection.execute(
        "SET pedro_ledger.writer = 'on'; UPDATE pedro_ledger.account SET plan_id = 'p2'; RESET pedro_ledger.writer"
    )
    assert await problems(database_url) == [(user, "the account is on plan p2, its subscription events say p1")]


async def test_two_daemons_and_a_crowd_of_events_agree_in_the_end(
    database_url: str, plans: None, connection: Connection
) -> None:
    """Users are adopted by two daemons while the app tells of their plans."""
    await connection.execute(
        """INSERT INTO "User" (id, "clerkId", "updatedAt") SELECT 'u' || n, 'c' || n, now() FROM generate_series(1, 60) AS n"""
    )
    settings = settings_for(database_url, **SETTINGS)
    pool = await asyncpg.create_pool(database_url, min_size=0, max_size=8)
    async with (
        Daemon(settings).started() as first_running, Api.open(first_running) as first,
        Daemon(settings).started() as second_running, Api.open(second_running) as second,
        pool,
    ):  # fmt: skip

        async def tell(number: int) -> None:
            async with pool.acquire() as one, one.transaction():
                await one.execute(EVENT, f"e{number}", f"c{number}", ("Pro", "Max")[number % 2], "active", 0)
                await asyncio.sleep(0.01 * (number % 4))

        async def touch(number: int) -> None:
            await asyncio.sleep(0.005 * (number % 7))
            assert (await (first, second)[number % 2].grant(f"u{number}", 50)).status == 201

        numbers = range(1, 61)
        await asyncio.gather(*map(tell, numbers), *map(touch, numbers))
        for number in numbers:
            assert await price((second, first)[number % 2], f"u{number}") == (2, 1)[number % 2], number
    assert await problems(database_url) == []


async def test_an_event_of_a_user_with_open_lots_and_holds_is_taken(
    api: Api, connection: Connection, other: Connection, database_url: str
) -> None:
    """The app's transaction is not refused for what the ledger keeps open."""
    user = await api.user(100)
    clerk_id = await connection.fetchval('SELECT "clerkId" FROM "User" WHERE "id" = $1', user)
    await api.grant(user, 50, expiresIn=3600)
    body = {"operationType": "AI_TEXT_CHAT", "credits": 20, "expiresIn": 3600}
    assert (await api.post(f"/v1/users/{user}/holds", body, key="hold")).status == 201
    await add_plan(connection, "pro", "Pro", 7)
    await event(other, "event", "Pro", clerk_id)
    assert await price(api, user) == 7
    await other.execute('UPDATE "User" SET "clerkId" = \'moved\' WHERE "id" = $1', user)
    assert await price(api, user) == "no_price"
    assert await problems(database_url) == []
    with pytest.raises(asyncpg.RestrictViolationError):  # what was lent is given back
        async with other.transaction():
            await event(other, "again", "Pro", "moved")
            await other.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await other.execute("UPDATE pedro_ledger.account SET posted = posted - 1")
