"""Deduct, refund and grant over HTTP, on a real database."""

import asyncio
from collections.abc import Callable

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.patience import PATIENCE_S


async def test_a_deduct_answers_with_a_receipt_and_moves_the_balance(api: Api) -> None:
    user = await api.user(100)
    reply = await api.deduct(user, 30, details={"model": "small"})
    assert reply.status == 201
    receipt = reply.json
    assert receipt.keys() == {
        "entryId", "userId", "type", "operationType", "credits", "creditsRemaining", "creditsHeld", "seq", "timestamp",
    }  # fmt: skip
    assert (receipt["userId"], receipt["type"], receipt["operationType"]) == (user, "deduct", "AI_TEXT_CHAT")
    assert (receipt["credits"], receipt["creditsRemaining"], receipt["creditsHeld"], receipt["seq"]) == (30, 70, 0, 2)
    assert receipt["timestamp"].endswith("Z")
    usage = (await api.get(f"/v1/users/{user}/usage")).json["items"]
    assert [(row["id"], row["creditsUsed"], row["details"]) for row in usage] == [
        (receipt["entryId"], 30, {"model": "small"})
    ]
    assert await api.balance(user) == 70


async def test_a_user_is_found_by_clerk_id_too(api: Api) -> None:
    await api.post("/v1/users", {"clerkId": "user_x/ü y"})
    reply = await api.post(
        "/v1/users/clerk:user_x%2F%C3%BC%20y/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 1}, key="k"
    )
    assert reply.json["creditsRemaining"] == 99


async def test_both_names_of_a_user_share_one_queue(api: Api) -> None:
    made = (await api.post("/v1/users", {"clerkId": "two-names"})).json
    replies = await asyncio.gather(
        *(api.deduct(name, 1) for _ in range(60) for name in (made["id"], "clerk:two-names"))
    )
    assert sorted(reply.status for reply in replies) == [201] * 100 + [402] * 20
    assert await api.balance(made["id"]) == 0


async def test_too_few_credits_is_402_and_says_what_is_missing(api: Api) -> None:
    user = await api.user(10)
    reply = await api.deduct(user, 11)
    assert (reply.status, reply.code) == (402, "insufficient_credits")
    assert (reply.json["creditsRequired"], reply.json["creditsAvailable"]) == (11, 10)
    assert await api.balance(user) == 10


async def test_a_repeated_refusal_says_so_and_how_to_try_anew(api: Api) -> None:
    user = await api.user()
    first = await api.deduct(user, 130, key="chat-42:1")
    assert "replayed" not in first.json
    await api.grant(user, 500)
    again = await api.deduct(user, 130, key="chat-42:1")
    assert (again.status, again.code, again.headers["Idempotency-Replayed"]) == (402, "insufficient_credits", "true")
    assert again.json == first.json | {"replayed": True, "detail": again.json["detail"]}
    assert again.json["detail"].startswith(first.json["detail"])
    assert "new key" in again.json["detail"]
    line = {"type": "deduct", "user": user, "operationType": "AI_TEXT_CHAT", "credits": 130}
    body = {"operations": [line | {"idempotencyKey": f"chat-42:{attempt}"} for attempt in (1, 2)]}
    results = (await api.post("/v1/operations", body)).json["results"]
    assert results[0] == {"status": 402, "error": again.json, "replayed": True}
    assert (results[1]["status"], results[1]["receipt"]["creditsRemaining"]) == (201, 470)


async def test_a_refund_is_partial_cumulative_and_never_past_the_original(api: Api) -> None:
    user = await api.user(100)
    entry = (await api.deduct(user, 30)).json["entryId"]
    assert (await api.refund(user, entryId=entry, credits=10)).json["creditsRemaining"] == 80
    over = await api.refund(user, entryId=entry, credits=21)
    assert (over.status, over.code, over.json["creditsRefundable"]) == (409, "refund_exceeds_entry", 20)
    assert (await api.refund(user, entryId=entry)).json["credits"] == 20
    assert (await api.refund(user, entryId=entry)).code == "refund_exceeds_entry"
    told = (await api.get(f"/v1/entries/{entry}")).json
    assert [refund["credits"] for refund in told["refunds"]] == [10, 20]
    usage = (await api.get(f"/v1/users/{user}/usage")).json["items"]
    assert [row["creditsUsed"] for row in usage] == [-20, -10, 30]


async def test_a_thousand_of_one_user_are_applied_and_refunded_in_a_request_each(api: Api) -> None:
    user = await api.user()
    assert (await api.grant(user, 1000)).status == 201
    lines = [
        {"type": "deduct", "user": user, "idempotencyKey": f"d{number}", "operationType": "AI_TEXT_CHAT", "credits": 1}
        for number in range(1000)
    ]
    deducted = (await api.post("/v1/operations", {"operations": lines})).json["results"]
    assert {result["status"] for result in deducted} == {201}
    loads = "pedro_ledger_load_seconds_count"
    before = api.parts.metrics.registry.get_sample_value(loads)
    assert before is not None
    lines = [
        {"type": "refund", "user": user, "idempotencyKey": f"r{number}", "entryId": result["receipt"]["entryId"]}
        for number, result in enumerate(deducted)
    ]
    refunded = (await api.post("/v1/operations", {"operations": lines})).json["results"]
    assert {result["status"] for result in refunded} == {201}
    assert api.parts.metrics.registry.get_sample_value(loads) == before + 1, "the entries are read together"
    assert await api.balance(user) == 1100


async def test_refunds_at_once_never_pass_the_original(api: Api) -> None:
    user = await api.user(100)
    entry = (await api.deduct(user, 50)).json["entryId"]
    replies = await asyncio.gather(*(api.refund(user, entryId=entry, credits=7) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [201] * 7 + [409] * 13
    assert await api.balance(user) == 99


async def test_a_refund_needs_an_entry_of_the_same_user(api: Api) -> None:
    first, second = await api.user(100), await api.user(100)
    entry = (await api.deduct(first, 30)).json["entryId"]
    strange = await api.refund(second, entryId=entry)
    assert (strange.status, strange.code) == (404, "entry_not_found")
    assert (await api.refund(first, entryId="x" * 26)).code == "entry_not_found"
    assert (await api.refund(first, entryId=entry[:-1] + "Z")).code == "entry_not_found"
    signup = (await api.statement(first))[0]["id"]
    assert (await api.refund(first, entryId=signup)).code == "entry_not_refundable"


async def test_a_refund_without_an_entry_names_its_operation_type(api: Api) -> None:
    user = await api.user(100)
    reply = await api.refund(user, operationType="SHORTS_MEDIA", credits=5)
    assert (reply.status, reply.json["creditsRemaining"], reply.json["operationType"]) == (201, 105, "SHORTS_MEDIA")
    assert (await api.refund(user, credits=5)).json["field"] == "operationType"
    assert (await api.refund(user, operationType="SHORTS_MEDIA")).json["field"] == "credits"
    both = await api.refund(user, operationType="SHORTS_MEDIA", entryId=reply.json["entryId"])
    assert (both.status, both.code) == (422, "invalid_body")


async def test_a_grant_has_no_usage_row_and_stays_within_the_limit(api: Api) -> None:
    user = await api.user(100)
    assert (await api.grant(user, 2**31 - 1 - 100)).json["creditsRemaining"] == 2**31 - 1
    over = await api.grant(user, 1)
    assert (over.status, over.code) == (409, "balance_limit_exceeded")
    assert (await api.get(f"/v1/users/{user}/usage")).json["items"] == []
    assert [entry["type"] for entry in await api.statement(user)] == ["grant", "grant"]


async def test_a_price_comes_from_the_feature_costs_and_is_told(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    assert (await api.deduct(user, None)).code == "no_price"
    await connection.execute(
        """INSERT INTO "AdminSettings" ("featureCosts", "updatedAt") VALUES ('{"AI_TEXT_CHAT": 7, "SHORTS_MEDIA": "x"}', now())"""
    )
    await api.parts.prices.refresh()
    reply = await api.deduct(user, None)
    assert reply.json["credits"] == 7
    assert (await api.get(f"/v1/entries/{reply.json['entryId']}")).json["price"].startswith("settings@")
    assert (await api.deduct(user, None, operationType="SHORTS_MEDIA")).code == "no_price"


async def test_a_batch_answers_each_operation_in_order_and_one_harms_no_other(api: Api) -> None:
    user, poor = await api.user(100), await api.user(1)
    reply = await api.post(
        "/v1/operations",
        {
            "operations": [
                {"type": "deduct", "user": user, "idempotencyKey": "1", "operationType": "AI_TEXT_CHAT", "credits": 60},
                {"type": "deduct", "user": user, "idempotencyKey": "2", "operationType": "AI_TEXT_CHAT", "credits": 60},
                {
                    "type": "deduct",
                    "user": "nobody",
                    "idempotencyKey": "3",
                    "operationType": "AI_TEXT_CHAT",
                    "credits": 1,
                },
                {"type": "grant", "user": poor, "idempotencyKey": "4", "credits": 5, "source": "promo"},
                {
                    "type": "deduct",
                    "user": user,
                    "idempotencyKey": "5",
                    "operationType": "AI_TEXT_CHAT",
                    "credits": 1.0,
                },
                {"type": "deduct", "user": user, "idempotencyKey": "1", "operationType": "AI_TEXT_CHAT", "credits": 60},
                {"type": "dance"},
                7,
                {"type": "refund", "user": user, "idempotencyKey": "6", "operationType": "AI_TEXT_CHAT", "credits": 1},
            ]
        },
    )
    results = reply.json["results"]
    assert reply.status == 200
    assert [result["status"] for result in results] == [201, 402, 404, 201, 422, 201, 422, 422, 201]
    assert results[5]["receipt"] == results[0]["receipt"]
    assert results[5]["replayed"] is True
    assert results[1]["error"]["code"] == "insufficient_credits"
    assert await api.balance(user) == 41


async def test_ten_thousand_deducts_take_exactly_what_is_there(api: Api) -> None:
    user = await api.user(1000)

    async def caller(number: int) -> list[int]:
        statuses: list[int] = []
        for part in range(20):  # five callers at once: 500 deducts wait, and a mailbox takes 819
            lines = [
                {"type": "deduct", "user": user, "idempotencyKey": f"{number}-{part}-{i}", "credits": 1}
                | {"operationType": "AI_TEXT_CHAT"}
                for i in range(100)
            ]
            results = (await api.post("/v1/operations", {"operations": lines})).json["results"]
            statuses += [result["status"] for result in results]
        return statuses

    statuses = sum(await asyncio.gather(*(caller(number) for number in range(5))), start=[])
    assert (statuses.count(201), statuses.count(402)) == (1000, 9000)
    assert await api.balance(user) == 0


async def test_a_full_mailbox_is_refused_at_once_and_harms_no_other(api: Api) -> None:
    user, other = await api.user(100), await api.user(100)
    line = {"type": "deduct", "user": user, "operationType": "AI_TEXT_CHAT", "credits": 1}
    bodies = [{"operations": [line | {"idempotencyKey": f"{b}-{i}"} for i in range(1000)]} for b in range(4)]
    *floods, calm = await asyncio.gather(*(api.post("/v1/operations", body) for body in bodies), api.deduct(other, 1))
    results = [result for flood in floods for result in flood.json["results"]]
    codes = {result["error"]["code"] for result in results if "error" in result}
    assert codes == {"insufficient_credits", "overloaded"}
    assert [result["status"] for result in results].count(201) == 100
    assert calm.status == 201


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_whoever_is_refused_is_told_when_to_come_back(database_url: str, connection: Connection) -> None:
    async with (
        Daemon(settings_for(database_url, mailbox_size_max=1)).started() as running,
        Api.open(running) as api,
    ):
        user = await api.user(100)
        async with connection.transaction():
            await connection.execute("SELECT FROM pedro_ledger.account FOR UPDATE")
            taken = [asyncio.create_task(api.deduct(user, 1))]
            await until(lambda: api.parts.engine.registry.active and not api.parts.engine.registry.deepest_mailbox())
            taken.append(asyncio.create_task(api.deduct(user, 1)))
            await until(lambda: api.parts.engine.registry.deepest_mailbox() == 1)
            refused = await api.deduct(user, 1)
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
        assert [(await task).status for task in taken] == [201, 201]
        assert await api.balance(user) == 98
