"""What Asaas delivers, to a real daemon over HTTP."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from pedro_ledger.postgres.database import Connection
from pedro_ledger.store.billing.inbox import State
from pedro_ledger.telemetry.metrics import WEBHOOK_OUTCOMES
from tests.support.client import Api
from tests.support.webhooks import OLD_TOKEN, asaas, asaas_payment, asaas_subscription, clerk, clerk_user

REFERENCE = "user_1|asaas_pro"


async def payer(api: Api) -> str:
    """The id of user_1, made by Clerk, with 100 credits."""
    await clerk(api, clerk_user("created", "user_1"))
    return str((await api.get("/v1/users/clerk:user_1")).json["id"])


def paid(**changes: Any) -> dict[str, Any]:
    return asaas_payment("CONFIRMED", **({"reference": REFERENCE} | changes))


async def deliver(api: Api, *events: dict[str, Any]) -> None:
    for event in events:
        reply = await asaas(api, event)
        assert (reply.status, reply.json) == (200, {"state": "applied", "repeated": False}), event


async def recorded(connection: Connection) -> list[tuple[str, ...]]:
    rows = await connection.fetch(
        'SELECT "clerkUserId", "planKey", "status", "eventType" FROM public."SubscriptionEvent" ORDER BY "occurredAt", "createdAt"'
    )
    return [tuple(row) for row in rows]


async def test_a_confirmed_and_received_payment_brings_credits_once(
    hooked: Api, plans: None, connection: Connection
) -> None:
    user = await payer(hooked)
    await deliver(
        hooked,
        asaas_subscription("CREATED", reference=REFERENCE),
        asaas_payment("CREATED"),
        asaas_payment("CONFIRMED"),
        asaas_payment("RECEIVED", at="2026-12-03 10:00:00"),
    )
    assert await hooked.balance(user) == 1100
    assert await recorded(connection) == [
        ("user_1", "Pro", "incomplete", "SUBSCRIPTION_CREATED"),
        ("user_1", "Pro", "pending", "PAYMENT_CREATED"),
        ("user_1", "Pro", "active", "PAYMENT_CONFIRMED"),
        ("user_1", "Pro", "active", "PAYMENT_RECEIVED"),
    ]
    await deliver(
        hooked,
        asaas_payment("OVERDUE", payment="pay_2", at="2026-12-04 10:00:00"),
        asaas_payment("RECEIVED", payment="pay_2", at="2026-12-05 10:00:00"),
    )
    assert await hooked.balance(user) == 2100
    at = await connection.fetchval('SELECT min("occurredAt") FROM public."SubscriptionEvent"')
    assert at.isoformat() == "2026-11-01T12:00:00"  # Asaas tells the time of São Paulo


async def test_a_repeat_is_answered_200_and_changes_nothing(hooked: Api, plans: None, connection: Connection) -> None:
    user = await payer(hooked)
    event = paid()
    replies = await asyncio.gather(*(asaas(hooked, event) for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.json["repeated"] for reply in replies) == [False] + [True] * 49
    assert await hooked.balance(user) == 1100
    assert len(await recorded(connection)) == 1


async def test_fifty_events_of_one_payment_at_once_grant_once(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    kinds = ("CONFIRMED", "RECEIVED")
    replies = await asyncio.gather(
        *(asaas(hooked, asaas_payment(kinds[no % 2], reference=REFERENCE)) for no in range(50))
    )
    assert {reply.json["state"] for reply in replies} == {"applied"}
    assert await hooked.balance(user) == 1100


@pytest.mark.parametrize("kind", ["REFUNDED", "CHARGEBACK_REQUESTED"])
@pytest.mark.parametrize(
    ("used", "topup", "after"), [(0, 0, 100), (300, 0, 100), (1000, 0, 100), (1100, 0, 0), (300, 50, 150)]
)
async def test_what_is_left_of_a_refunded_period_is_taken_back(
    hooked: Api, plans: None, kind: str, used: int, topup: int, after: int
) -> None:
    """What was used counts against the period's credits first; others stay, and the balance never
    falls below zero.
    """
    user = await payer(hooked)
    await deliver(hooked, paid())
    if topup:
        await hooked.grant(user, topup)
    if used:
        await hooked.deduct(user, used)
    event = asaas_payment(kind, at="2026-11-09 10:00:00")
    await deliver(hooked, event)
    assert await hooked.balance(user) == after
    assert (await asaas(hooked, event)).json["repeated"]
    await deliver(hooked, asaas_payment("RECEIVED", at="2026-11-08 10:00:00"))
    assert await hooked.balance(user) == after
    taken = [
        (entry["credits"], entry["source"]) for entry in await hooked.statement(user) if entry["type"] == "adjustment"
    ]
    assert taken == ([(-(1000 - used), "plan")] if used < 1000 else [])


async def test_usage_that_was_refunded_counts_as_left(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    await hooked.deduct(user, 60)
    await deliver(hooked, paid())
    used = (await hooked.deduct(user, 500)).json["entryId"]
    await hooked.refund(user, entryId=used, credits=200)
    await deliver(hooked, asaas_payment("REFUNDED", at="2026-11-09 10:00:00"))
    assert await hooked.balance(user) == 40


async def test_a_refund_before_its_payment_leaves_nothing(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    await deliver(hooked, asaas_payment("REFUNDED", reference=REFERENCE, at="2026-11-09 10:00:00"), paid())
    assert await hooked.balance(user) == 100
    assert len(await hooked.statement(user)) == 1


async def test_a_chargeback_that_is_won_gives_back_what_was_taken(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    await deliver(hooked, paid())
    await hooked.deduct(user, 400)
    await deliver(hooked, asaas_payment("CHARGEBACK_REQUESTED", at="2026-11-09 10:00:00"))
    assert await hooked.balance(user) == 100
    await deliver(hooked, asaas_payment("CHARGEBACK_DISPUTE", at="2026-11-10 10:00:00"))
    assert await hooked.balance(user) == 100
    await deliver(hooked, asaas_payment("AWAITING_CHARGEBACK_REVERSAL", at="2026-11-20 10:00:00"))
    assert await hooked.balance(user) == 700
    await deliver(hooked, asaas_payment("REFUNDED", at="2026-11-21 10:00:00"))
    assert await hooked.balance(user) == 100
    assert (
        await hooked.post(f"/v1/users/{user}/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 101}, key="x")
    ).status == 402


async def test_a_partial_refund_and_a_cancellation_take_nothing(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    await deliver(
        hooked,
        paid(),
        asaas_payment("PARTIALLY_REFUNDED", at="2026-11-09 10:00:00"),
        asaas_subscription("DELETED", at="2026-11-10 10:00:00"),
    )
    assert await hooked.balance(user) == 1100


async def test_prices_follow_the_plan_until_the_subscription_is_deleted(hooked: Api, plans: None) -> None:
    await hooked.parts.prices.refresh()
    user = await payer(hooked)
    await deliver(hooked, asaas_subscription("CREATED", reference=REFERENCE))
    assert (await hooked.deduct(user, None)).code == "no_price"
    await deliver(hooked, asaas_payment("CONFIRMED"))
    assert (await hooked.deduct(user, None)).json["credits"] == 2
    await deliver(hooked, asaas_subscription("DELETED", at="2026-11-10 10:00:00"))
    assert (await hooked.deduct(user, None)).code == "no_price"


async def test_what_comes_before_its_user_waits_and_the_answer_is_200(
    hooked: Api, plans: None, connection: Connection
) -> None:
    event = paid()
    assert (await asaas(hooked, event)).json == {
        "state": "waiting", "reason": "user_not_found", "repeated": False,
    }  # fmt: skip
    assert await recorded(connection) == []
    user = await payer(hooked)
    assert await hooked.balance(user) == 1100
    assert (await asaas(hooked, event)).json == {"state": "applied", "repeated": True}
    assert await recorded(connection) == [("user_1", "Pro", "active", "PAYMENT_CONFIRMED")]


async def test_a_user_whom_the_app_makes_is_found_too(hooked: Api, plans: None, connection: Connection) -> None:
    await asaas(hooked, paid())
    await connection.execute(
        """INSERT INTO public."User" ("id", "clerkId", "updatedAt") VALUES ('u1', 'user_1', now())"""
    )
    await connection.execute("UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()")
    await hooked.parts.webhooks.tick()
    assert await hooked.balance("u1") == 1000


@pytest.mark.parametrize("reference", ["user_1", "clerk:user_1", " user_1 | asaas_pro ", "{id}|Pro", "{id}|p1"])
async def test_users_and_plans_go_by_several_names(hooked: Api, plans: None, reference: str) -> None:
    user = await payer(hooked)
    plan = {} if "|" in reference else {"description": "Pro"}
    await deliver(hooked, paid(reference=reference.format(id=user), **plan))
    assert await hooked.balance(user) == 1100


async def test_what_became_of_deliveries_is_counted(hooked: Api, plans: None) -> None:
    assert set(WEBHOOK_OUTCOMES) == {*State, "repeat", "not_genuine"}
    await payer(hooked)
    event = paid()
    for token in ("wrong", OLD_TOKEN, OLD_TOKEN):
        await asaas(hooked, event, token)
    await asaas(hooked, paid() | {"event": "PAYMENT_VIEWED"}, OLD_TOKEN)
    counted = re.findall(
        r'^pedro_ledger_webhooks_total\{outcome="(\w+)",provider="asaas"\} ([1-9].*)$',
        (await hooked.get("/metrics", auth=None)).body.decode(),
        re.MULTILINE,
    )
    assert sorted(counted) == [("applied", "1.0"), ("ignored", "1.0"), ("not_genuine", "1.0"), ("repeat", "1.0")]


@pytest.mark.parametrize("token", ["", "wrong", "ünï"])
async def test_a_wrong_token_is_refused(hooked: Api, connection: Connection, token: str) -> None:
    reply = await asaas(hooked, paid(), token)
    assert (reply.status, reply.code) == (401, "webhook_token_invalid")
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.webhook_delivery") == 0
    assert (await asaas(hooked, paid(), OLD_TOKEN)).status == 200


GARBLED: list[Any] = [
    b"", b"\xff\xfe\x00", b"{", b"[]", b"7", b'{"event": 7}', b'{"event": "PAYMENT_CONFIRMED"}', b"[" * 100_000,
    {"id": "evt", "event": "PAYMENT_CONFIRMED", "payment": []}, {"id": "e" * 300, "event": "PAYMENT_CONFIRMED", "payment": {}},
    paid(payment=None), paid(payment="p" * 300), paid(subscription=7), paid(reference="\0"), paid(reference="x" * 300),
    paid(reference="|" * 9), paid() | {"dateCreated": "soon"}, paid() | {"dateCreated": "9999-12-31 23:59:59"},
    paid() | {"dateCreated": "0001-01-01 00:00:00"}, paid() | {"id": "a\0b", "extra": "\0"}, paid(value=1e300, note="\u2028"),
]  # fmt: skip


async def test_garbled_events_are_answered_200_and_harm_nothing(hooked: Api, plans: None) -> None:
    user = await payer(hooked)
    for event in GARBLED:
        for _ in range(2):
            reply = await asaas(hooked, event)
            assert reply.status == 200, (event, reply.body)
            assert reply.json["state"] in {"rejected", "waiting", "applied"}
    before = await hooked.balance(user)
    await deliver(hooked, paid(payment="pay_9"))
    assert await hooked.balance(user) == before + 1000


async def test_what_is_of_no_interest_is_answered_200(hooked: Api) -> None:
    for event in (
        asaas_payment("CONFIRMED", subscription=None),
        asaas_payment("BANK_SLIP_VIEWED"),
        {"id": "evt_1", "event": "TRANSFER_DONE", "transfer": {}},
        {"id": "evt_2", "event": "x\0" * 500},
    ):
        reply = await asaas(hooked, event)
        assert (reply.status, reply.json["state"] in {"ignored", "rejected"}) == (200, True)


async def test_deliveries_are_kept_longer_than_they_are_repeated(
    hooked: Api, plans: None, connection: Connection
) -> None:
    await payer(hooked)
    event = paid()
    await deliver(hooked, event)
    for age, kept in ((timedelta(days=59), 2), (timedelta(days=61), 1)):
        await connection.execute(
            "UPDATE pedro_ledger.webhook_delivery SET received_at = now() - $1::interval WHERE provider = 'asaas'", age
        )
        await hooked.parts.webhooks.purge()
        assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.webhook_delivery") == kept
    await deliver(hooked, event)
    assert await hooked.balance((await hooked.get("/v1/users/clerk:user_1")).json["id"]) == 1100
