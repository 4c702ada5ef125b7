"""Prices: what the next deduct costs, and which price its entry says that it was charged by."""

import asyncio

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.patience import PATIENCE_S


async def test_a_changed_price_counts_from_its_answer_on_and_the_entry_tells_which_it_was(api: Api) -> None:
    user = await api.user(100)
    assert (await api.deduct(user, None)).code == "no_price"
    versions = []
    for credits in (3, 4, 5, 6):
        settings = (await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": credits}})).json
        versions.append(settings["updatedAt"])
        receipt = (await api.deduct(user, None)).json
        assert receipt["credits"] == credits
        entry = (await api.get(f"/v1/entries/{receipt['entryId']}")).json
        assert entry["price"] == f"settings@{versions[-1]}"
    assert versions == sorted(set(versions)), "each change has a version of its own"
    named = (await api.deduct(user, 9)).json["entryId"]
    assert (await api.get(f"/v1/entries/{named}")).json["price"] is None


async def test_changes_within_one_millisecond_have_versions_of_their_own(api: Api, connection: Connection) -> None:
    plan = (await api.post("/v1/plans", {"name": "Pro", "credits": 1})).json
    await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 1}})
    for table in ("Plan", "AdminSettings"):
        await connection.execute(f"""UPDATE "{table}" SET "updatedAt" = '2999-01-01'""")
    settings = (await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 2}})).json
    changed = (await api.call("PATCH", f"/v1/plans/{plan['id']}", {"features": {"AI_TEXT_CHAT": 2}})).json
    assert settings["updatedAt"] == changed["updatedAt"] == "2999-01-01T00:00:00.001Z"


async def test_the_plan_of_a_user_prices_it_before_the_settings_do(api: Api, connection: Connection) -> None:
    plan = (await api.post("/v1/plans", {"name": "gold", "credits": 1, "features": {"AI_TEXT_CHAT": 7}})).json
    await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 1, "SHORTS_MEDIA": 2}})
    await connection.execute("""INSERT INTO "User" (id, "clerkId", "updatedAt") VALUES ('u', 'c', now())""")
    event = {"clerkUserId": "c", "planKey": "gold", "status": "active", "eventType": "subscription.created"}
    assert (await api.post("/v1/subscription-events", event)).status == 201
    await api.grant("u", 100)
    for kind, credits, price in (
        ("AI_TEXT_CHAT", 7, f"plan:{plan['id']}@{plan['updatedAt']}"),
        ("SHORTS_MEDIA", 2, "settings@"),
    ):
        receipt = (await api.deduct("u", None, operationType=kind)).json
        assert receipt["credits"] == credits
        assert (await api.get(f"/v1/entries/{receipt['entryId']}")).json["price"].startswith(price)
    await api.call("PATCH", f"/v1/plans/{plan['id']}", {"features": {"AI_TEXT_CHAT": 8}, "active": False})
    assert (await api.deduct("u", None)).json["credits"] == 8, "a retired plan prices those who are on it"


async def test_a_price_that_the_app_writes_itself_is_seen_by_the_poll(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    for credits in (3, 6):
        await connection.execute(
            """INSERT INTO "AdminSettings" (id, "featureCosts", "updatedAt") VALUES ('singleton', $1, now())
            ON CONFLICT (id) DO UPDATE SET "featureCosts" = excluded."featureCosts", "updatedAt" = excluded."updatedAt" """,
            f'{{"AI_TEXT_CHAT": {credits}}}',
        )
        async with asyncio.timeout(PATIENCE_S):
            while api.parts.prices.prices.settings.costs.get("AI_TEXT_CHAT") != credits:
                await asyncio.sleep(0.01)
        assert (await api.deduct(user, None)).json["credits"] == credits
