"""Spend limits over HTTP and on PostgreSQL: set, list, delete; what is refused and told; exact
across replicas and restarts.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger.meters import Counts, MeterQuery
from pedro_ledger.ledger.windows import span_at
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.store.journal.accounts import read_meters
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.ledgers import Line, append, make_user

DAY = {"window": "day"}


async def put(api: Api, path: str, **body: object) -> dict[str, object]:
    reply = await api.call("PUT", path, {**DAY, **body})
    assert reply.status == 200, reply.body
    found: dict[str, object] = reply.json
    return found


async def usage(api: Api, user: str) -> dict[str, tuple[int, int, int]]:
    items = (await api.get(f"/v1/users/{user}/limits/usage")).json["items"]
    return {each["limitId"]: (each["creditsSpent"], each["creditsHeld"], each["creditsLeft"]) for each in items}


async def test_a_limit_is_set_reached_changed_and_deleted(api: Api) -> None:
    user = await api.user(100)
    made = await put(api, f"/v1/users/{user}/limits/daily", credits=50, timeZone="America/Sao_Paulo")
    assert made == {
        "limitId": "daily", "credits": 50, "window": "day", "timeZone": "America/Sao_Paulo", "operationType": None,
        "onBehalfOf": None,
    }  # fmt: skip
    assert (await api.get(f"/v1/users/{user}/limits")).json == {"items": [made]}
    spent = await api.deduct(user, 30)
    assert spent.status == 201
    assert (await api.hold(user, 15)).status == 201
    refused = await api.deduct(user, 6, key="too-much")
    assert (refused.status, refused.code) == (402, "spend_limit_exceeded")
    told = refused.json
    assert (told["limitId"], told["limitScope"], told["creditsRequired"], told["creditsLeft"]) == (
        "daily",
        "user",
        6,
        5,
    )
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    assert told["resetsAt"] in {
        datetime.fromtimestamp(span_at(at, "day", "America/Sao_Paulo").end_ms / 1000, UTC)
        .isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for at in (now_ms, now_ms - 60_000)
    }  # fmt: skip
    assert await usage(api, user) == {"daily": (30, 15, 5)}
    assert (await api.refund(user, entryId=spent.json["entryId"], credits=10)).status == 201
    assert await usage(api, user) == {"daily": (20, 15, 15)}
    again = await api.deduct(user, 6, key="too-much")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (402, "true"), "a refusal is remembered"
    assert (await api.deduct(user, 15)).status == 201
    await put(api, f"/v1/users/{user}/limits/daily", credits=60, timeZone="America/Sao_Paulo")
    assert await usage(api, user) == {"daily": (35, 15, 10)}, "what was spent stays when the limit changes"
    await put(api, f"/v1/users/{user}/limits/daily", credits=10, timeZone="America/Sao_Paulo")
    assert await usage(api, user) == {"daily": (35, 15, 0)}, "lowering it takes nothing"
    gone = await api.call("DELETE", f"/v1/users/{user}/limits/daily")
    assert gone.json == {"deleted": "daily"}
    assert (await api.deduct(user, 20)).status == 201
    assert (await api.call("DELETE", f"/v1/users/{user}/limits/daily")).code == "limit_not_found"


async def test_a_new_limit_counts_what_was_spent_before_it(api: Api) -> None:
    user = await api.user(100)
    first = await api.deduct(user, 10, onBehalfOf="ana")
    await api.deduct(user, 20)
    await api.deduct(user, 5, operationType="SHORTS_SCRIPT")
    await api.refund(user, entryId=first.json["entryId"], credits=4)
    hold = (await api.hold(user, 9, onBehalfOf="ana")).json["entryId"]
    await api.capture(hold, 3, final=False)
    await put(api, f"/v1/users/{user}/limits/all", credits=50)
    await put(api, f"/v1/users/{user}/limits/ana", credits=20, onBehalfOf="ana", window="month")
    await put(api, f"/v1/users/{user}/limits/chat", credits=40, operationType="AI_TEXT_CHAT")
    assert await usage(api, user) == {"all": (34, 6, 10), "ana": (9, 6, 5), "chat": (29, 6, 5)}
    assert (await api.deduct(user, 6, onBehalfOf="ana")).json["limitId"] == "ana"
    assert (await api.deduct(user, 6)).json["limitId"] == "chat"
    assert (await api.deduct(user, 10, operationType="SHORTS_SCRIPT")).status == 201
    assert (await api.deduct(user, 1)).json["limitId"] == "all"


async def test_limits_of_a_plan_and_of_all(api: Api) -> None:
    plan = (await api.post("/v1/plans", {"name": "Pro", "credits": 5})).json["id"]
    assert (await api.call("PUT", "/v1/limits/pro", {**DAY, "credits": 5, "plan": "nothing"})).code == "plan_not_found"
    shared = await put(api, "/v1/limits/pro", credits=10, plan=plan)
    await put(api, "/v1/limits/everybody", credits=20)
    listed = (await api.get("/v1/limits")).json["items"]
    assert [(each["limitId"], each["plan"]) for each in listed] == [("everybody", None), ("pro", plan)]
    assert listed[1] == shared
    free, paying = await api.user(100), await api.user(100)
    clerk = (await api.get(f"/v1/users/{paying}")).json["clerkId"]
    event = {"clerkUserId": clerk, "status": "active", "eventType": "created", "planKey": plan}
    assert (await api.post("/v1/subscription-events", event)).status == 201
    assert (await api.deduct(free, 11)).status == 201
    assert (await api.deduct(paying, 11)).json["limitScope"] == "plan"
    assert (await api.deduct(free, 10)).json["limitId"] == "everybody"
    assert set(await usage(api, paying)) == {"pro", "everybody"}
    assert set(await usage(api, free)) == {"everybody"}
    assert (await api.call("DELETE", "/v1/limits/everybody")).status == 200
    assert (await api.call("DELETE", "/v1/limits/everybody")).code == "limit_not_found"
    assert (await api.deduct(free, 10)).status == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"credits": -1}, "credits"), ({"credits": 2**31}, "credits"), ({"credits": 1, "window": "week"}, "window"),
        ({"credits": 1, "timeZone": "Mars/Olympus"}, "timeZone"), ({"credits": 1, "timeZone": "../etc/passwd"}, "timeZone"),
        ({"credits": 1, "operationType": "NOTHING"}, "operationType"), ({"credits": 1, "onBehalfOf": ""}, "onBehalfOf"),
        ({"credits": 1, "plan": "p"}, "plan"), ({}, "credits"),
    ],
)  # fmt: skip
async def test_what_is_no_limit(api: Api, body: dict[str, object], field: str) -> None:
    user = await api.user(100)
    refused = await api.call("PUT", f"/v1/users/{user}/limits/l", {**DAY, **body})
    assert (refused.status, refused.json["field"]) == (422, field)
    assert (await api.call("PUT", f"/v1/users/{user}/limits/a%20b", {**DAY, "credits": 1})).json["field"] == "limitId"
    assert (await api.call("PUT", "/v1/users/nobody/limits/l", {**DAY, "credits": 1})).code == "user_not_found"


async def test_two_replicas_together_stay_within_a_limit(database_url: str, connection: Connection) -> None:
    """Eighty deducts race on two replicas: as many pass as the limit lets, also after a restart."""
    async with AsyncExitStack() as stack:
        apis = []
        for _ in range(2):
            running = await stack.enter_async_context(Daemon(settings_for(database_url)).started())
            apis.append(await stack.enter_async_context(Api.open(running)))
        user = await apis[0].user(1000)
        await put(apis[0], f"/v1/users/{user}/limits/own", credits=37)
        await put(apis[1], "/v1/limits/everybody", credits=50, window="month")
        replies = await asyncio.gather(*[apis[no % 2].deduct(user, 1) for no in range(80)])
        assert sorted({reply.status for reply in replies}) == [201, 402]
        assert sum(reply.status == 201 for reply in replies) == 37
        await put(apis[1], f"/v1/users/{user}/limits/own", credits=1000)
        replies = await asyncio.gather(*[apis[no % 2].deduct(user, 1) for no in range(40)])
        assert sum(reply.status == 201 for reply in replies) == 13, "the one of all holds"
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        assert await usage(api, user) == {"own": (50, 0, 950), "everybody": (50, 0, 0)}
        assert (await api.deduct(user, 1)).json["limitId"] == "everybody"


async def test_plain_users_have_no_meters(api: Api, connection: Connection) -> None:
    plan = (await api.post("/v1/plans", {"name": "Pro", "credits": 5})).json["id"]
    await put(api, "/v1/limits/pro", credits=10, plan=plan)
    user = await api.user(100)
    assert (await api.deduct(user, 50)).status == 201
    assert (
        await connection.fetchval("SELECT open_items::text FROM pedro_ledger.account WHERE user_id = $1", user) == "{}"
    )
    assert await usage(api, user) == {}


async def test_spending_is_read_from_the_entries_by_window(connection: Connection, database: Database) -> None:
    """As the meters count, clocks that disagree included."""
    midnight = datetime(2026, 11, 10, tzinfo=UTC)
    await make_user(connection, "u")
    at = [-3600, -1.5, 0.5, -0.5, 3600, 86_400 - 1, 86_400 + 0.3, 86_400 - 0.3]
    lines = [Line("grant", 1000, midnight - timedelta(days=3))]
    lines += [
        Line("deduct", -(2**no), midnight + timedelta(seconds=each), "AI_TEXT_CHAT") for no, each in enumerate(at)
    ]
    await append(connection, "u", lines)
    start = round(midnight.timestamp() * 1000)

    async def spent(start_ms: int) -> tuple[int, int]:
        query = MeterQuery(Counts("day", "UTC", None, None), start_ms, start_ms + 86_400_000)
        async with database.acquire() as own:
            (meter,) = (await read_meters(own, [("u", query)]))["u"]
        return meter.start_ms, meter.spent

    assert await spent(start + 86_400_000) == (start + 86_400_000, 64 + 128), "the clock behind counts there too"
    assert await spent(start) == (start + 86_400_000, 64 + 128), "entries of a later window: that one is meant"
    assert await spent(start + 2 * 86_400_000) == (start + 2 * 86_400_000, 0)
