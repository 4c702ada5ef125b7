"""Which billing period an event is about, whether it is paid, and which of its news is the
newest.
"""

import asyncio
from itertools import permutations
from typing import Any

import pytest

from pedro_ledger.postgres.database import Connection
from tests.billing.test_waiting import comes_true, listed, made
from tests.support.client import Api
from tests.support.webhooks import asaas, asaas_payment, clerk, clerk_attempt, clerk_item, clerk_user, milliseconds

DAY_MS = 86_400_000


def item(start_ms: int, *, days: int = 30, **changes: Any) -> dict[str, Any]:
    """A paid item whose period starts at a millisecond."""
    event = clerk_item("user_1", **changes)
    event["data"] |= {"period_start": start_ms, "period_end": start_ms + days * DAY_MS}
    return event


async def periods(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM pedro_ledger.plan_period"))


@pytest.mark.parametrize("jitters_ms", [(0, -2), (-2, 0), (-1, 1), (0, 3_600_000), (0, -40_000_000)])
async def test_a_start_that_jitters_across_midnight_is_one_period(
    hooked: Api, plans: None, connection: Connection, jitters_ms: tuple[int, int]
) -> None:
    user = await made(hooked, "user_1")
    midnight = milliseconds("2026-11-01")
    for jitter_ms in jitters_ms:
        assert (await clerk(hooked, item(midnight + jitter_ms))).json["state"] == "applied"
    assert (await hooked.balance(user), await periods(connection)) == (1100, 1)
    for jitter_ms in jitters_ms:
        await clerk(hooked, item(midnight + 30 * DAY_MS + jitter_ms))
    assert (await hooked.balance(user), await periods(connection)) == (2100, 2)
    for kind in ("active", "paid"):
        event = item(midnight + 7) if kind == "active" else clerk_attempt("user_1", "paid", start="2026-11-01")
        assert (await clerk(hooked, event)).json["state"] == "applied"
    assert await hooked.balance(user) == 2100


async def test_periods_of_a_day_that_follow_each_other_are_two(hooked: Api, plans: None) -> None:
    user = await made(hooked, "user_1")
    noon = milliseconds("2026-11-01T12:00:00")
    for number in range(3):
        await clerk(hooked, item(noon + number * DAY_MS, days=1))
    await clerk(hooked, item(noon + DAY_MS + 5, days=1))
    assert await hooked.balance(user) == 3100


async def test_fifty_jitters_at_once_grant_once(hooked: Api, plans: None) -> None:
    user = await made(hooked, "user_1")
    midnight = milliseconds("2026-11-01")
    await asyncio.gather(*(clerk(hooked, item(midnight + number - 25)) for number in range(50)))

    async def nothing_waits() -> bool:
        return await listed(hooked) == []

    await comes_true(nothing_waits)
    assert await hooked.balance(user) == 1100


async def test_a_period_that_the_version_before_noted_by_its_day_is_known_again(
    hooked: Api, plans: None, connection: Connection
) -> None:
    user = await made(hooked, "user_1")
    midnight = milliseconds("2026-11-01")
    await clerk(hooked, item(midnight))
    await connection.execute("UPDATE pedro_ledger.plan_period SET starts_at = NULL, ends_at = NULL")
    for start_ms in (midnight - 2, midnight, midnight + DAY_MS - 1):
        await clerk(hooked, item(start_ms))
    assert await hooked.balance(user) == 1100
    await clerk(hooked, item(midnight + 30 * DAY_MS))
    assert await hooked.balance(user) == 2100


async def test_an_item_without_an_amount_is_not_paid_until_its_payment_is_told(hooked: Api, plans: None) -> None:
    user = await made(hooked, "user_1")
    event = clerk_item("user_1")
    del event["data"]["plan"]["amount"]
    for number, amount in enumerate((None, "4990", True, {"currency": "usd"}, -1)):
        event["data"]["amount"] = amount
        reply = await clerk(hooked, event, f"msg_{number}")
        assert (reply.json["state"], reply.json["reason"]) == ("waiting", "amount_unknown"), amount
    assert await hooked.balance(user) == 100
    assert len(await listed(hooked)) == 5
    attempt = clerk_attempt("user_1", "paid")
    del attempt["data"]["subscription_items"][0]["plan"]["amount"]
    assert (await clerk(hooked, attempt, "msg_attempt")).json["reason"] == "amount_unknown"
    attempt["data"]["totals"] = {"grand_total": {"amount": 4990, "currency": "usd"}}
    assert (await clerk(hooked, attempt, "msg_paid")).json["state"] == "applied"
    assert await hooked.balance(user) == 1100

    async def nothing_waits() -> bool:
        return await listed(hooked) == []

    await comes_true(nothing_waits)
    assert await hooked.balance(user) == 1100


async def test_what_costs_nothing_is_applied_and_brings_nothing(hooked: Api, plans: None) -> None:
    user = await made(hooked, "user_1")
    for changes in ({"amount": 0}, {"amount": {"amount": 0, "currency": "usd"}}, {"is_free_trial": True}):
        event = clerk_item("user_1")
        event["data"] |= changes
        assert (await clerk(hooked, event)).json["state"] == "applied"
    default = clerk_item("user_1")
    default["data"]["plan"] = {"id": "cplan_pro", "is_default": True}
    assert (await clerk(hooked, default)).json["state"] == "applied"
    assert await hooked.balance(user) == 100


CHAIN = ("CONFIRMED", "CHARGEBACK_REQUESTED", "CHARGEBACK_DISPUTE", "AWAITING_CHARGEBACK_REVERSAL")


@pytest.mark.parametrize("upto", [2, 3, 4])
async def test_news_of_one_second_counts_in_the_order_of_its_numbers(hooked: Api, plans: None, upto: int) -> None:
    """Asaas tells the second; the number at the end of the event's id tells the order."""
    numbers = range(9_998, 9_998 + upto)  # as text they would be in another order
    events = [
        asaas_payment(kind, event_id=f"evt_05b708f961d739ea7eba7e4db318f621&{number}")
        for kind, number in zip(CHAIN, numbers, strict=False)
    ]
    after = 1100 if upto == 4 else 100
    for order, chain in enumerate(permutations(range(upto))):
        clerk_id = f"user_{order}"
        user = await made(hooked, clerk_id)
        for _ in range(2):
            for place in chain:
                event = events[place] | {"id": f"evt_{order}&{numbers[place]}"}
                event["payment"] = event["payment"] | {
                    "id": f"pay_{order}", "subscription": f"sub_{order}", "customer": f"cus_{order}",
                    "externalReference": f"{clerk_id}|asaas_pro",
                }  # fmt: skip
                assert (await asaas(hooked, event)).json["state"] == "applied"
        assert await hooked.balance(user) == after, chain


async def test_news_of_one_second_without_numbers_leaves_the_money_contested(hooked: Api, plans: None) -> None:
    user = await made(hooked, "user_1")
    for number, kind in enumerate(("CONFIRMED", "CHARGEBACK_REQUESTED", "CONFIRMED")):
        await asaas(hooked, asaas_payment(kind, event_id=f"evt_{'abc'[number]}", reference="user_1|asaas_pro"))
    assert await hooked.balance(user) == 100


async def test_two_events_that_swap_addresses_wait_for_each_other_in_one_order(
    hooked: Api, connection: Connection
) -> None:
    """Each takes the other's row after its own; a slow UPDATE lets them meet in the middle."""
    await connection.execute(
        """CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
        CREATE TRIGGER dawdles AFTER UPDATE ON public."User" FOR EACH ROW EXECUTE FUNCTION public.dawdle()"""
    )
    for clerk_id in ("user_1", "user_2"):
        await made(hooked, clerk_id)

    def with_address_of(clerk_id: str, other: str) -> dict[str, Any]:
        address = {"id": "idn_1", "email_address": f"{other}@example.com"}
        return clerk_user("updated", clerk_id, at="2026-11-02", email_addresses=[address])

    replies = await asyncio.gather(
        clerk(hooked, with_address_of("user_1", "user_2")), clerk(hooked, with_address_of("user_2", "user_1"))
    )
    assert [reply.json["state"] for reply in replies] == ["applied", "applied"], [reply.body for reply in replies]
    emails = [(await hooked.get(f"/v1/users/clerk:{each}")).json["email"] for each in ("user_1", "user_2")]
    assert emails == ["user_2@example.com", "user_1@example.com"]
