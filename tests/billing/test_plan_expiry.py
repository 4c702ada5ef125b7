"""Credits of paid periods that end with their period, where the settings say so."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.billing.test_waiting import comes_true, made
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.processes import command
from tests.support.webhooks import SETTINGS, asaas, asaas_payment, asaas_subscription, clerk, clerk_item

DAY_MS = 86_400_000
GRACE_S = 3 * 86_400


@pytest.fixture
async def expiring(database_url: str, plans: None) -> AsyncIterator[Api]:
    """A daemon whose plan credits expire; half of what is left rolls over."""
    settings = settings_for(
        database_url, plan_credits_expire=True, plan_grace_s=GRACE_S, plan_rollover_percent=50, plan_rollover_cap=300,
        **SETTINGS,
    )  # fmt: skip
    async with Daemon(settings).started() as running, Api.open(running) as api:
        yield api


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def text(at_ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


def item(start_ms: int, days: int = 30, **changes: Any) -> dict[str, Any]:
    event = clerk_item("user_1", **changes)
    event["data"] |= {"period_start": start_ms, "period_end": start_ms + days * DAY_MS, "updated_at": start_ms}
    return event


async def grants(api: Api, user: str) -> list[tuple[str, int, str | None]]:
    items = (await api.get(f"/v1/users/{user}/grants")).json["items"]
    return [(each["source"], each["remaining"], each["expiresAt"]) for each in items]


async def kinds(connection: Connection, user: str) -> list[tuple[str, int, str | None]]:
    rows = await connection.fetch(
        "SELECT kind, credits, source FROM pedro_ledger.entry WHERE user_id = $1 AND source IS DISTINCT FROM 'signup' "
        "ORDER BY seq",
        user,
    )
    return [tuple(row) for row in rows]


async def is_well(url: str) -> None:
    status, output, _ = await command("verify", DATABASE_URL=url)
    assert status == 0, output


async def test_a_period_ends_with_a_grace_and_its_renewal_ends_it_at_once(
    expiring: Api, connection: Connection, database_url: str
) -> None:
    user = await made(expiring, "user_1")
    first = now_ms() - 30 * DAY_MS - 60_000  # over a minute ago
    assert (await clerk(expiring, item(first))).json["state"] == "applied"
    ends = first + 30 * DAY_MS
    assert await grants(expiring, user) == [("plan", 1000, text(ends + GRACE_S * 1000))]
    await expiring.deduct(user, 801)
    assert (await clerk(expiring, item(ends))).json["state"] == "applied"
    fresh = text(ends + 30 * DAY_MS + GRACE_S * 1000)
    assert await grants(expiring, user) == [("rollover", 99, fresh), ("plan", 1000, fresh)]
    assert await kinds(connection, user) == [
        ("grant", 1000, "plan"), ("deduct", -801, None), ("grant", 1000, "plan"), ("expiry", -199, None),
        ("grant", 99, "rollover"),
    ]  # fmt: skip
    assert await expiring.balance(user) == 100 + 1099
    for start in (first, ends, ends + 3):
        assert (await clerk(expiring, item(start))).json["state"] == "applied", "repeats change nothing"
    assert await expiring.balance(user) == 100 + 1099
    await is_well(database_url)


async def test_a_renewal_that_is_paid_early_lets_the_period_run_to_its_end(expiring: Api) -> None:
    user = await made(expiring, "user_1")
    first = now_ms() - 28 * DAY_MS
    await clerk(expiring, item(first))
    await clerk(expiring, item(first + 30 * DAY_MS))
    ends = first + 30 * DAY_MS
    assert await grants(expiring, user) == [
        ("plan", 1000, text(ends)), ("plan", 1000, text(ends + 30 * DAY_MS + GRACE_S * 1000)),
    ]  # fmt: skip


async def test_asaas_tells_the_length_of_its_periods_by_the_cycle(expiring: Api) -> None:
    user = await made(expiring, "user_1")
    today = datetime.now(UTC) - timedelta(hours=3)
    due = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (due + timedelta(days=32)).replace(day=1)
    after = (following + timedelta(days=32)).replace(day=1)
    await asaas(expiring, asaas_subscription("CREATED", reference="user_1|asaas_pro"))
    for number, start in enumerate((due, following)):
        event = asaas_payment("CONFIRMED", payment=f"pay_{number}", dueDate=start.date().isoformat())
        assert (await asaas(expiring, event)).json["state"] == "applied"

    def in_brasilia(day: datetime, more_s: int = 0) -> str:
        return text(int(day.timestamp() * 1000) + 3 * 3_600_000 + more_s * 1000)

    assert await grants(expiring, user) == [
        ("plan", 1000, in_brasilia(following)), ("plan", 1000, in_brasilia(after, GRACE_S)),
    ]  # fmt: skip


async def test_a_period_whose_end_nobody_tells_never_ends(expiring: Api) -> None:
    user = await made(expiring, "user_1")
    await asaas(expiring, asaas_payment("CONFIRMED", reference="user_1|asaas_pro"))
    assert await grants(expiring, user) == []
    assert await expiring.balance(user) == 1100


async def test_credits_that_come_when_their_period_is_long_over_can_still_be_used(expiring: Api) -> None:
    user = await made(expiring, "user_1")
    await clerk(expiring, item(now_ms() - 200 * DAY_MS))
    ((source, credits, ends),) = await grants(expiring, user)
    assert (source, credits) == ("plan", 1000)
    assert ends is not None
    assert text(now_ms() + 2 * DAY_MS) < ends < text(now_ms() + 4 * DAY_MS)


async def test_a_chargeback_takes_what_is_left_of_its_period_and_nothing_else(
    expiring: Api, connection: Connection, database_url: str
) -> None:
    user = await made(expiring, "user_1")
    await expiring.grant(user, 5000)
    due = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
    await asaas(expiring, asaas_subscription("CREATED", reference="user_1|asaas_pro"))
    await asaas(expiring, asaas_payment("CONFIRMED", dueDate=due, at="2026-11-02 10:00:00"))
    await expiring.deduct(user, 300)
    hold = (await expiring.hold(user, 200)).json
    await asaas(expiring, asaas_payment("CHARGEBACK_REQUESTED", dueDate=due, at="2026-11-03 10:00:00"))
    assert (await kinds(connection, user))[-1] == ("adjustment", -500, "plan")
    assert await expiring.balance(user) == 100 + 5000 + 200
    related = await connection.fetchval(
        "SELECT related_seq = (SELECT granted_seq FROM pedro_ledger.plan_period) FROM pedro_ledger.entry "
        "WHERE user_id = $1 AND kind = 'adjustment'",
        user,
    )
    assert related, "the recovery names its grant"
    await asaas(expiring, asaas_payment("AWAITING_CHARGEBACK_REVERSAL", dueDate=due, at="2026-11-04 10:00:00"))
    assert (await kinds(connection, user))[-1] == ("grant", 500, "plan")
    assert (
        await expiring.call("POST", f"/v1/holds/{hold['entryId']}/capture", {"credits": 200}, key="c")
    ).status == 201
    await is_well(database_url)


async def test_the_terms_are_fixed_when_they_are_first_asked_for(
    expiring: Api, connection: Connection, database_url: str
) -> None:
    """A daemon with other settings that tries again asks for the same: nothing is granted twice."""
    user = await made(expiring, "user_1")
    first = now_ms() - DAY_MS
    await connection.execute(
        """CREATE FUNCTION public.refuse_mark() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused for the test' USING ERRCODE = '55000'; END $$;
        CREATE TRIGGER refuse_mark BEFORE UPDATE ON pedro_ledger.plan_period
        FOR EACH ROW WHEN (OLD.step <> NEW.step) EXECUTE FUNCTION public.refuse_mark()"""
    )
    assert (await clerk(expiring, item(first))).json["state"] == "waiting"
    assert await expiring.balance(user) == 1100
    await connection.execute("DROP FUNCTION public.refuse_mark CASCADE")
    other = settings_for(database_url, plan_credits_expire=True, plan_grace_s=60, **SETTINGS)
    async with Daemon(other).started() as running, Api.open(running) as api:

        async def is_done() -> bool:
            return bool(await connection.fetchval("SELECT NOT is_owed FROM pedro_ledger.plan_period"))

        await connection.execute("UPDATE pedro_ledger.plan_period SET next_try_at = now()")
        await comes_true(is_done)
        assert await grants(api, user) == [("plan", 1000, text(first + 30 * DAY_MS + GRACE_S * 1000))]


async def test_without_the_setting_periods_bring_plain_credits(
    hooked: Api, plans: None, connection: Connection
) -> None:
    user = await made(hooked, "user_1")
    await clerk(hooked, item(now_ms() - DAY_MS))
    assert await grants(hooked, user) == []
    row = await connection.fetchrow(
        "SELECT account.open_items::text, account.due_at, entry.expires_at, entry.effects, plan_period.terms "
        "FROM pedro_ledger.account JOIN pedro_ledger.entry USING (user_id, seq) JOIN pedro_ledger.plan_period USING (user_id) "
        "WHERE account.user_id = $1",
        user,
    )
    assert tuple(row) == ("{}", None, None, None, None)


async def test_renewals_at_once_at_two_replicas_end_the_period_once(
    expiring: Api, database_url: str, connection: Connection
) -> None:
    user = await made(expiring, "user_1")
    first = now_ms() - 31 * DAY_MS
    await clerk(expiring, item(first))
    settings = settings_for(
        database_url, plan_credits_expire=True, plan_grace_s=GRACE_S, plan_rollover_percent=50, plan_rollover_cap=300,
        **SETTINGS,
    )  # fmt: skip
    async with Daemon(settings).started() as running, Api.open(running) as other:
        await asyncio.gather(
            *(clerk((expiring, other)[number % 2], item(first + 30 * DAY_MS)) for number in range(10)),
            *((expiring, other)[number % 2].deduct(user, 1) for number in range(10)),
        )

        async def is_settled() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM pedro_ledger.plan_period WHERE is_owed")

        await comes_true(is_settled)
        made_of = [each for each in await kinds(connection, user) if each[0] != "deduct"]
        assert [(kind, source) for kind, _, source in made_of] == [
            ("grant", "plan"), ("grant", "plan"), ("expiry", None), ("grant", "rollover"),
        ]  # fmt: skip
        assert made_of[-1] == ("grant", 300, "rollover"), "within the cap"
    await is_well(database_url)
