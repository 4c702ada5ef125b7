"""What Clerk delivers, to a real daemon over HTTP."""

import asyncio
from time import time
from typing import Any

import orjson

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.webhooks import (
    OLD_SECRET,
    clerk,
    clerk_attempt,
    clerk_gone,
    clerk_item,
    clerk_user,
    milliseconds,
    svix_headers,
)


async def events(connection: Connection) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in await connection.fetch(
            'SELECT "clerkUserId", "planKey", "status", "eventType", "userId" IS NOT NULL FROM public."SubscriptionEvent"'
            ' ORDER BY "occurredAt", "createdAt"'
        )
    ]


async def user_of(api: Api, clerk_id: str = "user_1") -> dict[str, Any]:
    return dict((await api.get(f"/v1/users/clerk:{clerk_id}")).json)


async def test_a_user_is_made_changed_and_deactivated(hooked: Api) -> None:
    reply = await clerk(hooked, clerk_user("created", "user_1"))
    assert (reply.status, reply.json) == (200, {"state": "applied", "repeated": False})
    user = await user_of(hooked)
    assert (user["email"], user["name"], user["isActive"]) == ("user_1@example.com", "Ana Souza", True)
    assert user["creditBalance"]["creditsRemaining"] == 100
    renamed = clerk_user("updated", "user_1", at="2026-11-02", first_name="Bia", email_addresses=[])
    assert (await clerk(hooked, renamed)).json["state"] == "applied"
    assert ((await user_of(hooked))["name"], (await user_of(hooked))["email"]) == ("Bia Souza", None)
    banned = clerk_user("updated", "user_1", at="2026-11-03", banned=True)
    assert (await clerk(hooked, banned)).json["state"] == "applied"
    assert (await user_of(hooked))["isActive"] is False
    await clerk(hooked, clerk_user("updated", "user_1", at="2026-11-04"))
    assert (await user_of(hooked))["isActive"] is True
    assert (await clerk(hooked, clerk_gone("user_1", at="2026-11-05"))).json["state"] == "applied"
    user = await user_of(hooked)
    assert (user["isActive"], user["creditBalance"]["creditsRemaining"]) == (False, 100)
    assert [entry["source"] for entry in await hooked.statement(user["id"])] == ["signup"]


async def test_each_event_is_applied_once(hooked: Api) -> None:
    event = clerk_user("created", "user_1")
    replies = await asyncio.gather(*(clerk(hooked, event, "msg_once") for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.json["repeated"] for reply in replies) == [False] + [True] * 49
    await hooked.call("PATCH", "/v1/users/clerk:user_1", {"name": "By hand"})
    assert (await clerk(hooked, event, "msg_once")).json == {"state": "applied", "repeated": True}
    assert (await user_of(hooked))["name"] == "By hand"
    assert (await user_of(hooked))["creditBalance"]["creditsRemaining"] == 100


async def test_events_in_the_wrong_order_leave_the_newest_word(hooked: Api) -> None:
    await clerk(hooked, clerk_user("updated", "user_1", at="2026-11-03", first_name="New"))
    assert (await clerk(hooked, clerk_user("created", "user_1"))).json["state"] == "stale"
    assert (await user_of(hooked))["name"] == "New Souza"
    await clerk(hooked, clerk_gone("user_1", at="2026-11-05"))
    assert (await clerk(hooked, clerk_user("updated", "user_1", at="2026-11-04"))).json["state"] == "stale"
    assert (await user_of(hooked))["isActive"] is False
    await clerk(hooked, clerk_user("updated", "user_1", at="2026-11-07"))
    assert (await clerk(hooked, clerk_gone("user_1", at="2026-11-06"))).json["state"] == "stale"
    assert (await user_of(hooked))["isActive"] is True
    assert (await clerk(hooked, clerk_gone("user_2", at="2026-11-05"))).json["state"] == "ignored"
    assert (await clerk(hooked, clerk_user("created", "user_2"))).json["state"] == "stale"
    assert (await hooked.get("/v1/users/clerk:user_2")).status == 404


async def test_an_address_goes_to_whom_clerk_names_last(hooked: Api) -> None:
    shared = {"email_addresses": [{"id": "idn_1", "email_address": "shared@example.com"}]}
    await clerk(hooked, clerk_user("created", "user_1", **shared))
    assert (await clerk(hooked, clerk_user("created", "user_2", **shared))).json["state"] == "applied"
    assert [(await user_of(hooked, each))["email"] for each in ("user_1", "user_2")] == [None, "shared@example.com"]


async def test_a_paid_period_brings_the_plans_credits_once(hooked: Api, plans: None, connection: Connection) -> None:
    await clerk(hooked, clerk_user("created", "user_1"))
    user = (await user_of(hooked))["id"]
    for event in (
        clerk_item("user_1", "incomplete"),
        clerk_attempt("user_1", "paid"),
        clerk_item("user_1"),
        clerk_item("user_1"),
        clerk_attempt("user_1", "failed", start="2026-12-01"),
        clerk_item("user_1", "past_due", start="2026-12-01"),
    ):
        assert (await clerk(hooked, event)).json["state"] == "applied"
    assert await hooked.balance(user) == 1100
    await clerk(hooked, clerk_item("user_1", start="2026-12-01", at="2026-12-02"))
    await clerk(hooked, clerk_attempt("user_1", "paid", start="2026-12-01"))
    assert await hooked.balance(user) == 2100
    await clerk(hooked, clerk_item("user_1", "canceled", start="2026-12-01", at="2026-12-03"))
    assert await hooked.balance(user) == 2100
    entries = await hooked.statement(user)
    assert [(entry["source"], entry["credits"]) for entry in entries] == [
        ("signup", 100),
        ("plan", 1000),
        ("plan", 1000),
    ]
    assert entries[1]["details"] == {"plan": "p1", "provider": "clerk", "subscription": "csi_1", "period": "2026-11-01"}
    assert (entries[1]["keyId"], entries[1]["idempotencyKey"]) == ("webhook:clerk", "§plan:clerk:csi_1:2026-11-01:0")
    recorded = await events(connection)
    assert len(recorded) == 9
    assert ("user_1", "Pro", "active", "subscriptionItem.active", True) in recorded


async def test_a_free_plan_and_a_trial_bring_no_credits(hooked: Api, plans: None) -> None:
    await clerk(hooked, clerk_user("created", "user_1"))
    await clerk(hooked, clerk_item("user_1", amount=0))
    trial = clerk_item("user_1", item="csi_2")
    trial["data"]["is_free_trial"] = True
    await clerk(hooked, trial)
    assert await hooked.balance((await user_of(hooked))["id"]) == 100


async def test_fifty_deliveries_at_once_grant_once(hooked: Api, plans: None) -> None:
    await clerk(hooked, clerk_user("created", "user_1"))
    same = [clerk(hooked, clerk_item("user_1"), "msg_same") for _ in range(25)]
    others = [clerk(hooked, clerk_item("user_1")) for _ in range(25)]
    assert {reply.status for reply in await asyncio.gather(*same, *others)} == {200}
    assert await hooked.balance((await user_of(hooked))["id"]) == 1100


async def test_what_comes_before_its_user_waits_for_the_user(hooked: Api, plans: None, connection: Connection) -> None:
    assert (await clerk(hooked, clerk_item("user_1"), "msg_early")).json == {
        "state": "waiting", "reason": "user_not_found", "repeated": False,
    }  # fmt: skip
    assert await events(connection) == [("user_1", "Pro", "active", "subscriptionItem.active", False)]
    assert (await clerk(hooked, clerk_item("user_1"), "msg_early")).json == {
        "state": "waiting", "reason": "user_not_found", "repeated": True,
    }  # fmt: skip
    await clerk(hooked, clerk_user("created", "user_1"))
    assert await hooked.balance((await user_of(hooked))["id"]) == 1100
    assert await events(connection) == [("user_1", "Pro", "active", "subscriptionItem.active", True)]
    assert (await clerk(hooked, clerk_item("user_1"), "msg_early")).json == {"state": "applied", "repeated": True}


async def test_what_comes_before_its_plan_is_granted_when_the_plan_is_there(
    hooked: Api, connection: Connection
) -> None:
    await clerk(hooked, clerk_user("created", "user_1"))
    user = (await user_of(hooked))["id"]
    await clerk(hooked, clerk_item("user_1"))
    assert await hooked.balance(user) == 100
    await connection.execute(
        """INSERT INTO public."Plan" ("id", "clerkId", "name", "credits", "updatedAt") VALUES ('p', 'cplan_pro', 'Pro', 7, now())"""
    )
    await connection.execute("UPDATE pedro_ledger.plan_period SET next_try_at = now()")
    await hooked.parts.webhooks.tick()
    assert await hooked.balance(user) == 107


async def test_the_plan_that_prices_a_user_follows_from_the_events(hooked: Api, plans: None) -> None:
    await hooked.parts.prices.refresh()
    await clerk(hooked, clerk_user("created", "user_1"))
    user = (await user_of(hooked))["id"]

    async def price() -> int | str:
        reply = await hooked.deduct(user, None)
        return int(reply.json["credits"]) if reply.status == 201 else reply.code

    assert await price() == "no_price"
    await clerk(hooked, clerk_item("user_1"))
    assert await price() == 2
    await clerk(hooked, clerk_item("user_1", plan="cplan_max", item="csi_2", start="2026-11-05"))
    assert await price() == 1
    await clerk(hooked, clerk_item("user_1", "canceled", plan="cplan_max", item="csi_2", at="2026-11-06"))
    assert await price() == 1
    await clerk(hooked, clerk_item("user_1", "ended", plan="cplan_max", item="csi_2", at="2026-11-07"))
    assert await price() == 2
    await clerk(hooked, clerk_item("user_1", "ended", at="2026-11-08"))
    assert await price() == "no_price"


async def test_the_window_and_the_signature_are_checked(hooked: Api) -> None:
    event = clerk_user("created", "user_1")
    for late in (-301, 301):
        reply = await clerk(hooked, event, at_s=time() + late)
        assert (reply.status, reply.code) == (401, "webhook_timestamp_invalid")
    body = orjson.dumps(event)
    for changes in (
        {"svix-id": "other"},
        {"svix-signature": "v1,ünï"},
        {"svix-signature": ""},
        {"svix-timestamp": "x"},
    ):
        headers = svix_headers("msg_1", body) | changes
        reply = await hooked.call("POST", "/v1/webhooks/clerk", raw=body, auth=None, headers=headers)
        assert (reply.status, reply.code) == (401, "webhook_signature_invalid")
    reply = await hooked.call("POST", "/v1/webhooks/clerk", raw=body)
    assert reply.status == 401
    assert (await hooked.get("/v1/users/clerk:user_1")).status == 404
    assert (await clerk(hooked, event, secret=OLD_SECRET)).status == 200


DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
GARBLED: list[Any] = [
    b"", b"\xff\xfe", b"[]", b"null", b"{", b'{"type": 1, "data": {}}', b'{"type": "user.created", "data": {"id": "\\ud800"}}',
    b"[" * 100_000, {"type": "user.created"}, {"type": "user.created", "data": {}},
    {"type": "user.created", "data": {"id": "a\0b"}}, {"type": "user.created", "data": {"id": "x" * 300}},
    {"type": "user.created", "data": {"id": ["x"], "email_addresses": 5}}, {"type": "user.deleted", "data": {}},
    {"type": "user.created\0", "data": {"id": "u"}},
    {"type": "subscriptionItem.active", "data": {"id": "csi", "status": "active", "payer": 7}},
    {"type": "subscription.active", "data": {"id": "csub", "status": "active", "payer": {"user_id": "u"}, "items": [1, None, {}]}},
    {"type": "subscriptionItem.active", "data": clerk_item("u")["data"] | {"period_start": "soon", "plan": 7, "x": "\0" * 9}},
    {"type": "subscriptionItem.active", "data": clerk_item("u")["data"] | {"period_start": 2**70, "big": 2**90, "deep": DEEP}},
    {"type": "user.created", "data": {"id": "u", "first_name": 7, "email_addresses": [{"email_address": "no address"}],
                                      "updated_at": -5}},
]  # fmt: skip


async def test_garbled_events_are_taken_and_harm_nothing(hooked: Api) -> None:
    for number, event in enumerate(GARBLED):
        raw = event if isinstance(event, bytes) else with_big_numbers(event).encode()
        for _ in range(2):
            reply = await clerk(hooked, raw, f"msg_garbled_{number}")
            assert reply.status == 200, (event, reply.body)
    assert (await clerk(hooked, clerk_user("created", "user_1"))).json["state"] == "applied"


def with_big_numbers(event: Any) -> str:
    import json  # noqa: PLC0415 - it writes numbers that no other encoder here does

    return json.dumps(event)


async def test_what_concerns_nobody_is_ignored(hooked: Api) -> None:
    organisation = clerk_item("user_1")
    organisation["data"]["payer"] = {"organization_id": "org_1"}
    session = {"type": "session.created", "data": {"id": "sess_1"}, "timestamp": milliseconds("2026-11-01")}
    for event in (organisation, session):
        assert (await clerk(hooked, event)).json["state"] == "ignored"
