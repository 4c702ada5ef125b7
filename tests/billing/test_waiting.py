"""A delivery or a period that cannot be applied: it is told, its neighbours go on, and it heals by
itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.patience import PATIENCE_S
from tests.support.webhooks import asaas, asaas_payment, clerk, clerk_gone, clerk_item, clerk_user

REFUSE = """CREATE FUNCTION public.refuse_one() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused for the test' USING ERRCODE = TG_ARGV[0]; END $$"""


async def made(api: Api, clerk_id: str) -> str:
    """The id of a user that Clerk tells of, with 100 credits."""
    assert (await clerk(api, clerk_user("created", clerk_id))).status == 200
    return str((await api.get(f"/v1/users/clerk:{clerk_id}")).json["id"])


def paid(clerk_id: str, plan: str, **changes: Any) -> dict[str, Any]:
    """A paid charge of a subscription of one's own."""
    return asaas_payment(
        "CONFIRMED", payment=f"pay_{clerk_id}", subscription=f"sub_{clerk_id}", customer=f"cus_{clerk_id}",
        reference=f"{clerk_id}|{plan}", **changes,
    )  # fmt: skip


async def listed(api: Api, state: str = "waiting") -> list[tuple[str, str]]:
    """Event ids with their reasons, newest first."""
    reply = await api.get(f"/v1/webhook-deliveries?state={state}&limit=200")
    assert reply.status == 200, reply.body
    return [(item["eventId"], item["reason"]) for item in reply.json["items"]]


async def comes_true(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.05)


async def unlimited(connection: Connection, plan: str) -> None:
    await connection.execute('UPDATE public."Plan" SET "credits" = -1, "updatedAt" = now() WHERE "id" = $1', plan)


async def test_a_plan_without_a_number_of_credits_holds_up_nobody_else(
    hooked: Api, plans: None, connection: Connection
) -> None:
    """-1 means "unlimited" in the app; the ledger cannot grant that."""
    await unlimited(connection, "p2")
    first, second = await made(hooked, "user_1"), await made(hooked, "user_2")
    event = paid("user_1", "asaas_max", event_id="evt_unlimited")
    for repeated in (False, True):
        reply = await asaas(hooked, event)
        assert (reply.status, reply.json) == (
            200, {"state": "waiting", "reason": "plan_credits_invalid", "repeated": repeated},
        )  # fmt: skip
    assert (await asaas(hooked, paid("user_2", "asaas_pro"))).json["state"] == "applied"
    await connection.execute("UPDATE pedro_ledger.plan_period SET next_try_at = now()")
    await hooked.parts.webhooks.tick()
    assert [await hooked.balance(user) for user in (first, second)] == [100, 1100]
    assert (await clerk(hooked, clerk_user("created", "user_3"))).json["state"] == "applied"
    assert await listed(hooked) == [("evt_unlimited", "plan_credits_invalid")]
    metrics = (await hooked.get("/metrics", auth=None)).body.decode()
    assert "pedro_ledger_paid_periods_without_credits 1.0" in metrics
    assert 'pedro_ledger_webhook_deliveries{state="waiting"} 1.0' in metrics
    assert 'pedro_ledger_webhooks_total{outcome="applied",provider="asaas"} 1.0' in metrics
    assert 'pedro_ledger_webhooks_total{outcome="waiting",provider="asaas"} 1.0' in metrics


async def test_a_plan_that_the_app_mends_through_prisma_hastens_what_waits_for_it(
    hooked: Api, plans: None, connection: Connection
) -> None:
    await unlimited(connection, "p2")
    user = await made(hooked, "user_1")
    event = paid("user_1", "asaas_max", event_id="evt_1")
    assert (await asaas(hooked, event)).json["state"] == "waiting"
    await connection.execute(
        "UPDATE pedro_ledger.plan_period SET attempts = 9, next_try_at = now() + interval '1 hour'"
    )
    await connection.execute(
        "UPDATE pedro_ledger.webhook_delivery SET attempts = 9, next_try_at = now() + interval '1 hour'"
    )
    # Not even `updatedAt` moves: the app may write plain SQL.
    await connection.execute("""UPDATE public."Plan" SET "credits" = 300 WHERE "id" = 'p2'""")

    async def has_come() -> bool:
        return await hooked.balance(user) == 400 and await listed(hooked) == []

    await comes_true(has_come)
    assert (await asaas(hooked, event)).json == {"state": "applied", "repeated": True}
    assert (
        await connection.fetchval("SELECT count(*) FROM pedro_ledger.webhook_delivery WHERE payload IS NOT NULL") == 0
    )


async def test_a_plan_that_appears_hastens_what_waits_for_it(hooked: Api, connection: Connection) -> None:
    user = await made(hooked, "user_1")
    assert (await clerk(hooked, clerk_item("user_1"), "msg_1")).json == {
        "state": "waiting", "reason": "plan_not_found", "repeated": False,
    }  # fmt: skip
    assert await listed(hooked) == [("msg_1", "plan_not_found")]
    await connection.execute("UPDATE pedro_ledger.plan_period SET next_try_at = now() + interval '1 hour'")
    plan = {"name": "Pro", "clerkId": "cplan_pro", "credits": 7}
    assert (await hooked.post("/v1/plans", plan)).status == 201

    async def has_come() -> bool:
        return await hooked.balance(user) == 107 and await listed(hooked) == []

    await comes_true(has_come)


async def test_what_the_ledger_refuses_waits_with_its_reason(hooked: Api, plans: None, connection: Connection) -> None:
    """The largest number that the column holds, as another way to write "unlimited"."""
    await connection.execute("""UPDATE public."Plan" SET "credits" = 2147483647 WHERE "id" = 'p2'""")
    user = await made(hooked, "user_1")
    reply = await asaas(hooked, paid("user_1", "asaas_max"))
    assert reply.json == {"state": "waiting", "reason": "balance_limit_exceeded", "repeated": False}
    await connection.execute("""UPDATE public."Plan" SET "credits" = 300 WHERE "id" = 'p2'""")

    async def has_come() -> bool:
        return await hooked.balance(user) == 400 and await listed(hooked) == []

    await comes_true(has_come)


@pytest.mark.parametrize(
    ("sqlstate", "state", "reason"),
    [
        ("23502", "waiting", "database_error"),
        ("42703", "waiting", "database_error"),
        ("53100", "waiting", "database_error"),
        ("55P03", "waiting", "database_error"),
        ("23514", "rejected", "value_refused"),
    ],
)
async def test_a_delivery_that_the_database_refuses_is_told_and_harms_no_other(
    hooked: Api, plans: None, connection: Connection, sqlstate: str, state: str, reason: str
) -> None:
    await connection.execute(REFUSE)
    await connection.execute(
        f"""CREATE TRIGGER refuses BEFORE INSERT ON public."User" FOR EACH ROW WHEN (NEW."clerkId" = 'user_1')
        EXECUTE FUNCTION public.refuse_one('{sqlstate}')"""
    )
    event = clerk_user("created", "user_1")
    for repeated in (False, True):
        reply = await clerk(hooked, event, "msg_odd")
        assert (reply.status, reply.json) == (200, {"state": state, "reason": reason, "repeated": repeated})
    assert await listed(hooked, state) == [("msg_odd", reason)]
    assert (await clerk(hooked, clerk_item("user_2"), "msg_early")).json["reason"] == "user_not_found"
    await connection.execute("UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()")
    user = await made(hooked, "user_2")
    assert await hooked.balance(user) == 1100
    await connection.execute("UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()")
    await hooked.parts.webhooks.tick()
    assert await listed(hooked, state) == [("msg_odd", reason)]
    await connection.execute('DROP TRIGGER refuses ON public."User"')
    assert await hooked.parts.webhooks.deliveries.retry(["clerk:msg_odd"]) == ["clerk:msg_odd"]

    async def has_come() -> bool:
        return (await hooked.get("/v1/users/clerk:user_1")).status == 200

    await comes_true(has_come)
    assert (await clerk(hooked, event, "msg_odd")).json == {"state": "applied", "repeated": True}


async def test_a_fault_of_our_own_in_one_delivery_ends_neither_the_loop_nor_its_neighbours(
    hooked: Api, plans: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pedro_ledger.store.billing import inbox  # noqa: PLC0415 - patched

    note_news = inbox.note_news

    async def broken(connection: Any, user_id: str, provider: str, period: Any, *rest: Any) -> Any:
        if period.period == "pay_user_1":
            raise KeyError("a bug")
        return await note_news(connection, user_id, provider, period, *rest)

    first, second = await made(hooked, "user_1"), await made(hooked, "user_2")
    with monkeypatch.context() as patched:
        patched.setattr(inbox, "note_news", broken)
        reply = await asaas(hooked, paid("user_1", "asaas_pro"))
        assert (reply.status, reply.json["state"], reply.json["reason"]) == (200, "waiting", "internal_error")
        await connection.execute("UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()")
        assert (await asaas(hooked, paid("user_2", "asaas_pro"))).json["state"] == "applied"
        await hooked.parts.webhooks.tick()
        assert [await hooked.balance(user) for user in (first, second)] == [100, 1100]
    await connection.execute("UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()")

    async def has_come() -> bool:
        return await hooked.balance(first) == 1100

    await comes_true(has_come)


async def test_the_list_has_keyset_pages_and_needs_admin(hooked: Api, connection: Connection) -> None:
    for number in range(5):
        await clerk(hooked, clerk_item(f"user_{number}"), f"msg_{number}")
    await clerk(hooked, {"type": "user.created", "data": {}}, "msg_odd")
    await clerk(hooked, clerk_gone("nobody", at="2026-11-05"), "msg_ignored")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await hooked.get(f"/v1/webhook-deliveries?state=waiting&limit=2{cursor}")).json
        seen += [item["id"] for item in page["items"]]
        assert len(page["items"]) <= 2
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == [f"clerk:msg_{number}" for number in (4, 3, 2, 1, 0)]
    item = (await hooked.get("/v1/webhook-deliveries?state=rejected")).json["items"][0]
    assert {name: item[name] for name in ("id", "provider", "eventType", "state", "reason")} == {
        "id": "clerk:msg_odd", "provider": "clerk", "eventType": "user.created", "state": "rejected", "reason": "unreadable",
    }  # fmt: skip
    assert len((await hooked.get("/v1/webhook-deliveries")).json["items"]) == 6
    for wrong in ("state=applied", "state=pending", "limit=0", "cursor=x", "user=1"):
        reply = await hooked.get(f"/v1/webhook-deliveries?{wrong}")
        assert (reply.status, reply.code) == (400, "invalid_query"), wrong
