"""Grants that end, in the order in which they burn; adjustments; what balances show of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.processes import command


async def test_grants_burn_by_priority_then_by_expiry_and_the_base_in_between(api: Api) -> None:
    user = await api.user(0)
    await api.grant(user, 10)
    late = (await api.grant(user, 10, expiresIn=7200)).json
    soon = (await api.grant(user, 10, expiresIn=3600)).json
    gift = (await api.grant(user, 10, source="bonus")).json
    last = (await api.grant(user, 10, priority=60)).json
    grants = (await api.get(f"/v1/users/{user}/grants")).json
    assert [item["entryId"] for item in grants["items"]] == [each["entryId"] for each in (gift, soon, late, last)]
    assert grants["base"] == {"remaining": 10, "held": 0}
    assert [item["priority"] for item in grants["items"]] == [40, 50, 50, 60]
    deducted = (await api.deduct(user, 45)).json
    assert deducted["lots"] == [
        {"seq": gift["seq"], "credits": -10}, {"seq": soon["seq"], "credits": -10},
        {"seq": late["seq"], "credits": -10}, {"seq": 0, "credits": -10}, {"seq": last["seq"], "credits": -5},
    ]  # fmt: skip
    assert [item["remaining"] for item in (await api.get(f"/v1/users/{user}/grants")).json["items"]] == [5]


async def test_a_balance_tells_what_ends_next(api: Api) -> None:
    user = await api.user(5)
    ends = [(await api.grant(user, 10 * n, expiresIn=1000 * n)).json["expiresAt"] for n in (4, 3, 2, 1)]
    shown = (await api.get(f"/v1/users/{user}/balance")).json
    assert shown["creditsExpiring"] == [
        {"credits": 10 * n, "expiresAt": moment} for n, moment in zip((1, 2, 3), reversed(ends), strict=False)
    ]
    assert shown["creditsAvailable"] == 105


async def test_what_has_ended_cannot_be_spent_and_is_booked_once(api: Api, connection: Connection) -> None:
    user = await api.user(5)
    await api.grant(user, 10, expiresIn=1)
    while (await api.get(f"/v1/users/{user}/balance")).json["creditsAvailable"] != 5:
        await asyncio.sleep(0.05)
    assert (await api.deduct(user, 6)).json["creditsAvailable"] == 5
    while await connection.fetchval('SELECT "creditsRemaining" FROM "CreditBalance" WHERE "userId" = $1', user) != 5:
        await asyncio.sleep(0.05)
    kinds = await connection.fetch("SELECT kind, credits FROM pedro_ledger.entry WHERE user_id = $1 ORDER BY seq", user)
    assert [tuple(row) for row in kinds][2:] == [("grant", 10), ("expiry", -10)]
    assert await connection.fetchval("SELECT due_at FROM pedro_ledger.account WHERE user_id = $1", user) is None


async def test_what_is_left_rolls_over(api: Api, connection: Connection) -> None:
    user = await api.user(0)
    await api.grant(user, 10, expiresIn=1, rollover={"percent": 50, "expiresIn": 3600})
    while (await api.get(f"/v1/users/{user}/balance")).json["creditsAvailable"] != 5:
        await asyncio.sleep(0.05)
    await api.deduct(user, 1)
    (item,) = (await api.get(f"/v1/users/{user}/grants")).json["items"]
    assert (item["source"], item["credits"], item["remaining"], item["rollover"]) == ("rollover", 5, 4, None)


async def test_a_refund_goes_back_to_where_it_came_from(api: Api) -> None:
    user = await api.user(10)
    grant = (await api.grant(user, 10, expiresIn=3600)).json
    entry = (await api.deduct(user, 15)).json["entryId"]
    refund = (await api.refund(user, entryId=entry, credits=8)).json
    assert refund["lots"] == [{"seq": 0, "credits": 5}, {"seq": grant["seq"], "credits": 3}]
    assert (await api.get(f"/v1/users/{user}/grants")).json["items"][0]["remaining"] == 3


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "grant_already_expired", "expiresAt"),
        ({"expiresAt": "2099-01-01T00:00:00Z"}, "grant_ends_too_late", "expiresAt"),
        ({"expiresAt": "tomorrow"}, "invalid_body", "expiresAt"),
        ({"expiresAt": "2030-13-01T00:00:00Z"}, "invalid_body", "expiresAt"),
        ({"expiresIn": 0}, "invalid_body", "expiresIn"),
        ({"expiresIn": 5, "expiresAt": "2030-01-01T00:00:00Z"}, "invalid_body", "expiresIn"),
        ({"priority": 101}, "invalid_body", "priority"),
        ({"rollover": {"percent": 50, "expiresIn": 60}}, "invalid_body", "rollover"),
        ({"expiresIn": 60, "rollover": {"percent": 101, "expiresIn": 60}}, "invalid_body", "rollover.percent"),
        ({"reason": "a", "details": {"reason": "b"}}, "invalid_body", "reason"),
    ],
)
async def test_a_grant_that_cannot_be(api: Api, fields: dict[str, object], code: str, field: str) -> None:
    user = await api.user(10)
    reply = await api.grant(user, 5, **fields)
    assert (reply.status, reply.json["code"], reply.json["field"]) == (422, code, field)
    assert await api.balance(user) == 10


async def test_a_late_retry_of_a_grant_gets_its_receipt(api: Api) -> None:
    user = await api.user(0)
    ends = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    first = await api.grant(user, 5, key="once", expiresAt=ends)
    assert first.status == 201
    while (await api.get(f"/v1/users/{user}/balance")).json["creditsAvailable"]:
        await asyncio.sleep(0.05)
    again = await api.grant(user, 5, key="once", expiresAt=ends)
    assert (again.status, again.json) == (201, first.json)


async def test_sixty_four_grants_are_open_at_most(api: Api) -> None:
    user = await api.user(0)
    for _ in range(64):
        assert (await api.grant(user, 1, expiresIn=3600)).status == 201
    refused = await api.grant(user, 1, expiresIn=3600)
    assert (refused.status, refused.json["code"]) == (409, "too_many_open_grants")
    assert (await api.grant(user, 1)).status == 201, "what makes no lot always fits"


async def test_support_takes_back_and_gives(api: Api) -> None:
    user = await api.user(10)
    await api.grant(user, 10, expiresIn=3600)
    taken = (await api.adjust(user, -15, reason="double payment")).json
    assert (taken["type"], taken["credits"], taken["creditsRemaining"]) == ("adjustment", 15, 5)
    assert [share["credits"] for share in taken["lots"]] == [-10, -5]
    assert (await api.adjust(user, -6, reason="too much")).json["code"] == "insufficient_credits"
    assert (await api.adjust(user, 7, reason="sorry")).json["creditsRemaining"] == 12
    items = (await api.get(f"/v1/users/{user}/statement?order=desc&limit=2")).json["items"]
    assert [item["details"]["reason"] for item in items] == ["sorry", "double payment"]
    assert (await api.adjust(user, 0, reason="nothing")).json["field"] == "credits"


async def test_verify_recomputes_lots_and_holds(api: Api, database_url: str, connection: Connection) -> None:
    user = await api.user(20)
    await api.grant(user, 10, expiresIn=1, rollover={"percent": 50, "expiresIn": 3600})
    await api.grant(user, 10, expiresIn=3600, priority=10)
    hold = (await api.hold(user, 25)).json["entryId"]
    await api.capture(hold, 5, final=False)
    spent = (await api.deduct(user, 6)).json["entryId"]
    await api.refund(user, entryId=spent)
    while (await api.get(f"/v1/users/{user}/balance")).json.get("creditsExpiring", [{"credits": 0}])[0]["credits"] == 9:
        await asyncio.sleep(0.05)
    await api.capture(hold, 30, overage="cap")
    await api.grant(user, 5, expiresIn=3600)
    status, out, err = await command("verify", DATABASE_URL=database_url)
    assert status == 0, out + err
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """UPDATE pedro_ledger.account SET open_items = jsonb_set(open_items, '{l,-1,4}', '3'), revision = revision + 1
           WHERE user_id = $1""",  # another revision, so that the daemon, which remembers how it was, does not write that
        user,
    )
    status, out, _ = await command("verify", DATABASE_URL=database_url)
    assert status == 1
    assert "open lots and holds are not what its entries lead to" in out


@pytest.mark.parametrize(("grace_s", "left"), [(0, 0), (3600, 8)])
async def test_refunded_credits_of_a_grant_that_has_ended_last_as_long_as_is_set(
    database_url: str, grace_s: int, left: int
) -> None:
    settings = settings_for(database_url, refund_grace_s=grace_s)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        user = await api.user(0)
        await api.grant(user, 10, expiresIn=1)
        entry = (await api.deduct(user, 8)).json["entryId"]
        while (await api.get(f"/v1/users/{user}/balance")).json["creditsAvailable"]:
            await asyncio.sleep(0.05)
        refund = (await api.refund(user, entryId=entry)).json
        shown = (await api.get(f"/v1/users/{user}/grants")).json["items"]
        assert [(each["source"], each["remaining"]) for each in shown] == ([("refund", 8)] if left else [])
        assert (await api.get(f"/v1/users/{user}/balance")).json["creditsAvailable"] == left
        if left:
            given = datetime.fromisoformat(refund["timestamp"]) + timedelta(seconds=grace_s)
            assert datetime.fromisoformat(shown[0]["expiresAt"]) == given
    status, out, _ = await command("verify", DATABASE_URL=database_url)
    assert status == 0, out
