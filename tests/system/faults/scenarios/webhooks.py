"""Webhooks that cannot be applied, while everybody else goes on."""

import asyncio
from typing import Any

import aiohttp
import asyncpg
import orjson

from tests.support.webhooks import SECRET, TOKEN, asaas_payment, clerk_user, svix_headers
from tests.system.faults import PATIENCE_S
from tests.system.faults.crowd import HEADERS
from tests.system.faults.journal import Ask
from tests.system.faults.rig import Rig, scenario

CREDITS = 300
PLANS = """INSERT INTO public."Plan" ("id", "asaasId", "name", "credits", "updatedAt") VALUES
    ('good', 'asaas_good', 'Good', 300, now()), ('odd', 'asaas_odd', 'Odd', -1, now())"""


@scenario("neighbours: no 5xx; their paid credits come at once; what waits is listed, and applied once it is mended")
async def webhooks_that_cannot_be_applied(rig: Rig) -> None:
    """A plan of -1 credits, and a user whose row the app locks, among others that are well."""
    server = await rig.server()
    await rig.daemon(server.url(), PEDRO_ASAAS_WEBHOOK_TOKENS=TOKEN, PEDRO_CLERK_WEBHOOK_SECRETS=SECRET)
    app, held = await asyncpg.connect(server.url()), await asyncpg.connect(server.url())
    await app.execute(PLANS)
    users, payers = await rig.users(12), await rig.users(2 * rig.times(10), credits=100)
    plans = {payer: ("good", "odd")[place % 2] for place, payer in enumerate(payers)}
    async with aiohttp.ClientSession() as session, rig.crowd(users, abandon=0) as crowd:
        post = Poster(rig, session)
        await crowd.flow(50)
        locked = (await post.read(f"/v1/users/{payers[0]}"))["clerkId"]
        transaction = held.transaction()
        await transaction.start()
        await held.execute('SELECT FROM public."User" WHERE "id" = $1 FOR UPDATE', payers[0])
        answers = await asyncio.gather(
            *(post.paid(payer, plan) for payer, plan in plans.items()),
            post.clerk(clerk_user("updated", locked, at="2026-11-09")),
            post.clerk(clerk_user("created", "late")),
        )
        well = [payer for payer in payers[1:] if plans[payer] == "good"]
        assert answers == [*("applied" if payer in well else "waiting" for payer in payers), "waiting", "applied"]
        rig.faults_injected += sum(answer == "waiting" for answer in answers)
        assert {await post.balance(payer) for payer in well} == {100 + CREDITS}
        listed = (await post.read("/v1/webhook-deliveries?state=waiting&limit=200"))["items"]
        reasons = [item["reason"] for item in listed]
        assert sorted(set(reasons)) == ["database_error", "plan_credits_invalid"], reasons
        rig.figures["waiting meanwhile"] = f"{len(listed):,}"
        assert await rig.readiness() == 200
        await crowd.flow(200)
        await transaction.rollback()
        await app.execute("""UPDATE public."Plan" SET "credits" = 300 WHERE "id" = 'odd'""")
        async with asyncio.timeout(PATIENCE_S):
            while (await post.read("/v1/webhook-deliveries"))["items"]:
                await asyncio.sleep(0.1)
        assert {await post.balance(payer) for payer in payers} == {100 + CREDITS}
        await crowd.flow(100)
    for connection in (app, held):
        await connection.close()
    failed = {answer: count for answer, count in crowd.statuses.items() if answer[0] >= 500}
    assert not failed, f"neighbours were told {failed}"
    rig.figures["neighbours waited at most"] = f"{crowd.slowest_s:.2f} s"


class Poster:
    """Delivers as the providers do, and reads what came of it."""

    def __init__(self, rig: Rig, session: aiohttp.ClientSession) -> None:
        self._rig = rig
        self._session = session

    async def paid(self, payer: str, plan: str) -> str:
        """A paid charge of a subscription; its grant is noted as asked for.

        Returns the state that is answered.
        """
        ask = Ask(payer, f"§plan:asaas:sub_{payer}:pay_{payer}:0", "grant", CREDITS)
        self._rig.journal.sent([ask])
        event = asaas_payment(
            "CONFIRMED", payment=f"pay_{payer}", subscription=f"sub_{payer}", customer=f"cus_{payer}",
            reference=f"{payer}|asaas_{plan}",
        )  # fmt: skip
        return await self._state("asaas", orjson.dumps(event), {"asaas-access-token": TOKEN})

    async def clerk(self, event: dict[str, Any]) -> str:
        """An event of a user; the user's signup is noted."""
        body = orjson.dumps(event)
        state = await self._state("clerk", body, svix_headers(f"msg_{event['data']['id']}", body))
        if event["type"] == "user.created":
            user = (await self.read(f"/v1/users/clerk:{event['data']['id']}"))["id"]
            self._rig.journal.user(user, "grant", 100)
        return state

    async def read(self, path: str) -> Any:
        async with self._session.get(self._rig.address() + path, headers=HEADERS) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def balance(self, user: str) -> int:
        return int((await self.read(f"/v1/users/{user}/balance"))["creditsRemaining"])

    async def _state(self, provider: str, body: bytes, headers: dict[str, str]) -> str:
        address = f"{self._rig.address()}/v1/webhooks/{provider}"
        async with self._session.post(address, data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["state"])
