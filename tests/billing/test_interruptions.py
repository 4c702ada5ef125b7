"""Interruptions between a period's entry and the note of it, and daemons that work on the same
periods.
"""

import asyncio
from typing import Any

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Connection
from pedro_ledger.store.billing.periods import PlanPeriods
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.webhooks import SETTINGS, asaas, asaas_payment, clerk, clerk_user

PAID = asaas_payment("CONFIRMED", reference="user_1|asaas_pro", event_id="evt_paid")
REFUNDED = asaas_payment("REFUNDED", event_id="evt_refunded", at="2026-11-09 10:00:00")


@pytest.fixture
def marks_lost(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many notes are still to be lost, in one number; each as if the daemon had died right
    after the entry.
    """
    left = [0]
    mark = PlanPeriods.mark

    async def lossy(self: PlanPeriods, *arguments: Any) -> bool:
        if left[0]:
            left[0] -= 1
            raise Unavailable("The connection is gone.", reason="lost")
        return await mark(self, *arguments)

    monkeypatch.setattr(PlanPeriods, "mark", lossy)
    return left


async def user_of(api: Api) -> str:
    await clerk(api, clerk_user("created", "user_1"))
    return str((await api.get("/v1/users/clerk:user_1")).json["id"])


async def test_a_repeat_finishes_what_an_interruption_left(hooked: Api, plans: None, marks_lost: list[int]) -> None:
    user = await user_of(hooked)
    marks_lost[0] = 1
    assert (await asaas(hooked, PAID)).json == {"state": "waiting", "reason": "unavailable", "repeated": False}
    assert await hooked.balance(user) == 1100
    for _ in range(2):
        assert (await asaas(hooked, PAID)).json == {"state": "applied", "repeated": True}
    assert await hooked.balance(user) == 1100


async def test_a_turn_finishes_it_where_no_repeat_comes(
    hooked: Api, plans: None, marks_lost: list[int], connection: Connection
) -> None:
    user = await user_of(hooked)
    marks_lost[0] = 1
    await asaas(hooked, PAID)
    assert await connection.fetchval("SELECT is_asked FROM pedro_ledger.plan_period")
    await connection.execute("UPDATE pedro_ledger.plan_period SET next_try_at = now()")
    await hooked.parts.webhooks.tick()
    assert await hooked.balance(user) == 1100
    assert tuple(await connection.fetchrow("SELECT step, is_asked, is_owed FROM pedro_ledger.plan_period") or ()) == (
        1, False, False,
    )  # fmt: skip


async def test_a_refund_after_an_interrupted_grant_takes_it_back(
    hooked: Api, plans: None, marks_lost: list[int]
) -> None:
    """The period does not say that the credits came, but that they were asked for: that is found
    out first.
    """
    user = await user_of(hooked)
    marks_lost[0] = 1
    await asaas(hooked, PAID)
    await hooked.deduct(user, 250)
    assert (await asaas(hooked, REFUNDED)).json["state"] == "applied"
    assert await hooked.balance(user) == 100


async def test_an_interrupted_refund_takes_once(hooked: Api, plans: None, marks_lost: list[int]) -> None:
    user = await user_of(hooked)
    await asaas(hooked, PAID)
    marks_lost[0] = 1
    await asaas(hooked, REFUNDED)
    assert await hooked.balance(user) == 100
    await hooked.grant(user, 40)
    await hooked.deduct(user, 20)
    await asaas(hooked, REFUNDED)
    assert await hooked.balance(user) == 120


async def test_an_effect_and_its_note_are_one(hooked: Api, connection: Connection) -> None:
    """Where the effect fails, the event is not noted as applied either, and its repeat is
    applied.
    """
    await connection.execute(
        """CREATE FUNCTION pg_temp_fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'out of space' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER fails BEFORE INSERT ON public."User" FOR EACH ROW EXECUTE FUNCTION pg_temp_fail()"""
    )
    event = clerk_user("created", "user_1")
    assert (await clerk(hooked, event, "msg_1")).json["state"] == "waiting"
    await connection.execute('DROP TRIGGER fails ON public."User"')
    assert (await clerk(hooked, event, "msg_1")).json == {"state": "applied", "repeated": True}


async def test_two_daemons_grant_once(database_url: str, plans: None) -> None:
    settings = settings_for(database_url, **SETTINGS)
    async with (
        Daemon(settings).started() as first_running, Api.open(first_running) as first,
        Daemon(settings).started() as second_running, Api.open(second_running) as second,
    ):  # fmt: skip
        user = await user_of(first)
        daemons = [first, second] * 10
        replies = await asyncio.gather(*(asaas(api, PAID) for api in daemons))
        assert sorted(reply.json["repeated"] for reply in replies) == [False] + [True] * 19
        others = [asaas_payment("RECEIVED", at="2026-11-02 10:00:00") for _ in daemons]
        await asyncio.gather(*(asaas(api, event) for api, event in zip(daemons, others, strict=True)))
        assert await first.balance(user) == 1100
        await asyncio.gather(*(asaas(api, REFUNDED) for api in daemons))
        assert [await api.balance(user) for api in (first, second)] == [100, 100]
