"""Holds over HTTP: set aside, charge, give back; who may, what is refused, what statements and the
app see.
"""

import asyncio

import pytest

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api


async def made(api: Api, user: str, credits: int = 40, **fields: object) -> str:
    reply = await api.hold(user, credits, **fields)
    assert reply.status == 201, reply.json
    return str(reply.json["entryId"])


async def test_a_hold_is_captured_and_the_rest_goes_back(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    reply = await api.hold(user, 40, details={"stream": 1}, reference="chat-1", lease=30)
    receipt = reply.json
    assert (receipt["type"], receipt["credits"], receipt["creditsRemaining"], receipt["creditsHeld"]) == (
        "hold", 40, 100, 40,
    )  # fmt: skip
    assert receipt["expiresAt"] > receipt["leaseUntil"] > receipt["timestamp"]
    assert (await api.deduct(user, 61)).json["code"] == "insufficient_credits"
    hold = receipt["entryId"]
    assert await connection.fetchval('SELECT count(*) FROM "UsageHistory"') == 0, "the app's history shows charges only"
    captured = (await api.capture(hold, 15, final=False)).json
    assert (captured["type"], captured["credits"], captured["creditsRemaining"], captured["creditsHeld"]) == (
        "capture", 15, 85, 25,
    )  # fmt: skip
    assert (captured["holdId"], captured["holdRemaining"]) == (hold, 25)
    last = (await api.capture(hold, 5)).json
    assert (last["creditsRemaining"], last["creditsHeld"]) == (80, 0)
    usage = await connection.fetch('SELECT "creditsUsed", "details"::text FROM "UsageHistory" ORDER BY "id"')
    assert [tuple(row) for row in usage] == [(15, '{"stream": 1}'), (5, '{"stream": 1}')]
    read = (await api.get(f"/v1/holds/{hold}")).json
    assert (read["state"], read["creditsReserved"], read["creditsCaptured"], read["creditsHeld"]) == (
        "captured", 40, 20, 0,
    )  # fmt: skip
    assert [entry["type"] for entry in read["entries"]] == ["hold", "capture", "capture"]
    assert [entry.get("heldChange") for entry in read["entries"]] == [40, -15, -25]


async def test_a_closed_hold_says_what_happened(api: Api) -> None:
    user = await api.user(100)
    hold = await made(api, user)
    void = (await api.void(hold)).json
    assert (void["credits"], void["creditsRemaining"], void["creditsHeld"]) == (40, 100, 0)
    refused = await api.capture(hold, 5)
    assert (refused.status, refused.json["code"], refused.json["state"]) == (409, "hold_closed", "voided")
    assert refused.json["closedBy"] == void["entryId"]
    assert (await api.void(hold)).json["code"] == "hold_closed"
    assert (await api.extend(hold, credits=1)).json["code"] == "hold_closed"
    assert (await api.heartbeat(hold)).json["code"] == "hold_closed"


@pytest.mark.parametrize(
    ("overage", "asked", "status", "charged", "uncollected"),
    [("refuse", 41, 422, 0, 0), ("allow", 100, 201, 100, 0), ("allow", 101, 402, 0, 0), ("cap", 130, 201, 100, 30)],
)
async def test_overage(api: Api, overage: str, asked: int, status: int, charged: int, uncollected: int) -> None:
    user = await api.user(100)
    hold = await made(api, user)
    reply = await api.capture(hold, asked, overage=overage)
    assert reply.status == status
    if status == 201:
        assert reply.json["credits"] == charged
        assert reply.json["creditsOver"] == charged - 40
        assert reply.json.get("creditsUncollected", 0) == uncollected
    assert await api.balance(user) == 100 - charged


async def test_at_least_what_is_available_is_held(api: Api) -> None:
    user = await api.user(30)
    assert (await api.hold(user, 50)).status == 402
    assert (await api.hold(user, 50, creditsMin=20)).json["credits"] == 30
    assert (await api.hold(user, 5, creditsMin=5)).status == 402
    assert (await api.hold(user, 5, creditsMin=6)).json["field"] == "creditsMin"


async def test_one_open_hold_has_a_reference(api: Api) -> None:
    user = await api.user(100)
    hold = await made(api, user, reference="job-7")
    refused = await api.hold(user, 5, reference="job-7")
    assert (refused.status, refused.json["code"], refused.json["holdId"]) == (409, "hold_reference_in_use", hold)
    found = (await api.get(f"/v1/users/{user}/holds?reference=job-7")).json["items"]
    assert [item["holdId"] for item in found] == [hold]
    await api.void(hold)
    assert (await api.hold(user, 5, reference="job-7")).status == 201


async def test_extend_pins_more_and_moves_the_end(api: Api) -> None:
    user = await api.user(100)
    reply = await api.hold(user, 40, expiresIn=10)
    hold = reply.json["entryId"]
    longer = (await api.extend(hold, credits=20, expiresIn=600)).json
    assert (longer["type"], longer["credits"], longer["creditsHeld"]) == ("extend", 20, 60)
    assert longer["expiresAt"] > reply.json["expiresAt"]
    assert (await api.extend(hold, credits=41)).json["code"] == "insufficient_credits"
    assert (await api.extend(hold)).json["code"] == "invalid_body"
    assert (await api.capture(hold, 60)).json["creditsRemaining"] == 40


async def test_a_heartbeat_moves_the_lease_and_needs_no_key(api: Api) -> None:
    user = await api.user(100)
    reply = await api.hold(user, 40, lease=5)
    hold = reply.json["entryId"]
    beat = await api.heartbeat(hold, used=12)
    assert beat.status == 200
    assert beat.json["leaseUntil"] >= reply.json["leaseUntil"]
    assert (beat.json["creditsHeld"], beat.json["creditsAvailable"]) == (40, 60)
    (shown,) = (await api.get(f"/v1/users/{user}/holds")).json["items"]
    assert shown["leaseUntil"] == beat.json["leaseUntil"]


async def test_no_such_hold(api: Api) -> None:
    user = await api.user(100)
    entry = (await api.deduct(user, 1)).json["entryId"]
    for hold in ("nonsense", "0" * 26, entry):
        assert (await api.capture(hold, 1)).json["code"] == "hold_not_found", hold
        assert (await api.heartbeat(hold)).json["code"] == "hold_not_found", hold
        assert (await api.get(f"/v1/holds/{hold}")).json["code"] == "hold_not_found", hold


async def test_repeating_a_key_repeats_the_answer(api: Api) -> None:
    user = await api.user(100)
    first = await api.hold(user, 40, key="h")
    assert (await api.hold(user, 40, key="h")).json == first.json
    hold = first.json["entryId"]
    captured = await api.capture(hold, 15, key="c")
    again = await api.capture(hold, 15, key="c")
    assert again.json == captured.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await api.capture(hold, 16, key="c")).json["code"] == "idempotency_key_reused"


async def test_a_hold_in_a_batch_is_one_line(api: Api) -> None:
    user = await api.user(100)
    hold = await made(api, user)
    lines = [
        {"type": "hold", "user": user, "idempotencyKey": "b1", "operationType": "AI_TEXT_CHAT", "credits": 10},
        {"type": "extend", "holdId": hold, "idempotencyKey": "b2", "credits": 5},
        {"type": "capture", "holdId": hold, "idempotencyKey": "b3", "credits": 45},
        {"type": "void", "holdId": hold, "idempotencyKey": "b4"},
    ]
    results = (await api.post("/v1/operations", {"operations": lines})).json["results"]
    assert [result["status"] for result in results] == [201, 201, 201, 409]
    assert results[3]["error"]["code"] == "hold_closed"
    assert results[2]["receipt"]["creditsHeld"] == 10


async def test_two_captures_at_once_have_one_winner(api: Api) -> None:
    user = await api.user(100)
    hold = await made(api, user)
    replies = await asyncio.gather(api.capture(hold, 30), api.capture(hold, 40), api.void(hold))
    assert sorted(reply.status for reply in replies) == [201, 409, 409]


async def test_a_capture_is_refunded_like_a_deduct(api: Api) -> None:
    user = await api.user(100)
    hold = await made(api, user)
    captured = (await api.capture(hold, 30)).json
    assert (await api.refund(user, entryId=captured["entryId"], credits=10)).json["creditsRemaining"] == 80
    assert (await api.refund(user, entryId=hold)).json["code"] == "entry_not_refundable"


async def test_a_hold_that_nobody_hears_of_lapses_and_gives_back(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    hold = await made(api, user, expiresIn=5)
    while await connection.fetchval("SELECT held FROM pedro_ledger.account WHERE user_id = $1", user):
        await asyncio.sleep(0.1)
    assert (await api.get(f"/v1/holds/{hold}")).json["state"] == "lapsed"
    refused = await api.capture(hold, 10)
    assert (refused.status, refused.json["code"], refused.json["creditsReleased"]) == (409, "hold_lapsed", 40)
    late = await api.capture(hold, 10, overage="allow")
    assert (late.status, late.json["credits"], late.json["creditsOver"]) == (201, 10, 10)
    assert (await api.capture(hold, 10, overage="allow")).json["code"] == "hold_closed"
