"""The app's own tables over HTTP: plans, features, settings, files, subscription events."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.patience import PATIENCE_S

PLAN = {
    "name": "Pro",
    "credits": 2000,
    "clerkId": "plan_pro",
    "priceMonthlyCents": 4900,
    "currency": "BRL",
    "sortOrder": 2,
}
FILE = {
    "url": "https://blob.example.com/a.png",
    "pathname": "/u/a.png",
    "name": "a.png",
    "contentType": "image/png",
    "size": 512_000,
}


async def test_plans_are_made_changed_listed_and_retired(api: Api) -> None:
    made = await api.post("/v1/plans", PLAN)
    assert made.status == 201, made.body
    plan = made.json
    assert plan | PLAN == plan
    assert (plan["active"], plan["highlight"], plan["ctaType"], plan["billingSource"]) == (
        True,
        False,
        "checkout",
        "manual",
    )
    cheap = (
        await api.post("/v1/plans", {"name": "Basic", "credits": 0, "sortOrder": -1, "features": {"AI_TEXT_CHAT": 2}})
    ).json
    assert [each["id"] for each in (await api.get("/v1/plans")).json["items"]] == [cheap["id"], plan["id"]]
    changed = await api.call("PATCH", f"/v1/plans/{plan['id']}", {"credits": 2500, "clerkId": None, "badge": "new"})
    assert changed.status == 200
    assert changed.json == plan | {
        "credits": 2500,
        "clerkId": None,
        "badge": "new",
        "updatedAt": changed.json["updatedAt"],
    }
    assert (await api.call("PATCH", f"/v1/plans/{plan['id']}", {"active": False})).json["active"] is False
    assert [each["id"] for each in (await api.get("/v1/plans")).json["items"]] == [cheap["id"]]
    assert [each["id"] for each in (await api.get("/v1/plans?active=false")).json["items"]] == [plan["id"]]
    first = (await api.get("/v1/plans?active=any&limit=1")).json
    second = (await api.get(f"/v1/plans?active=any&limit=1&cursor={first['nextCursor']}")).json
    assert [first["items"][0]["id"], second["items"][0]["id"], second["nextCursor"]] == [cheap["id"], plan["id"], None]
    assert (await api.get(f"/v1/plans/{plan['id']}")).json["credits"] == 2500
    for method, path in (("GET", "/v1/plans/none"), ("PATCH", "/v1/plans/none")):
        assert (await api.call(method, path, {} if method == "PATCH" else None)).code == "plan_not_found"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"}, {"credits": 1}, {"name": "", "credits": 1}, {"name": "x", "credits": -1}, {"name": "x", "credits": 1.0},
        {"name": "x", "credits": 1, "price": 5}, {"name": "x", "credits": 1, "active": 1}, {"name": "x", "credits": 2**31},
        {"name": "x", "credits": 1, "currency": "real"}, {"name": "x", "credits": 1, "features": []},
        {"name": "x", "credits": 1, "features": {"a": "\0"}}, {"name": "x", "credits": 1, "sortOrder": "1"},
    ],
)  # fmt: skip
async def test_a_plan_that_is_not_acceptable_changes_nothing(api: Api, body: Any) -> None:
    assert (await api.post("/v1/plans", body)).code == "invalid_body"
    assert (await api.get("/v1/plans")).json["items"] == []


async def test_an_id_that_another_plan_has_is_a_conflict(api: Api) -> None:
    await api.post("/v1/plans", PLAN)
    again = await api.post("/v1/plans", PLAN)
    assert (again.status, again.code, again.json["field"]) == (409, "clerkid_taken", "clerkId")
    other = (await api.post("/v1/plans", {"name": "Other", "credits": 1})).json["id"]
    assert (await api.call("PATCH", f"/v1/plans/{other}", {"clerkId": "plan_pro"})).status == 409


async def test_reading_settings_that_are_missing_makes_none(api: Api, connection: Connection) -> None:
    empty = {"id": "singleton", "featureCosts": None, "createdAt": None, "updatedAt": None}
    assert (await api.get("/v1/admin/settings")).json == empty
    assert await connection.fetchval('SELECT count(*) FROM "AdminSettings"') == 0


async def test_costs_are_merged_and_charged_at_once(api: Api) -> None:
    user = await api.user(100)
    assert (await api.deduct(user, None)).code == "no_price"
    costs = "/v1/admin/settings"
    first = await api.call("PATCH", costs, {"featureCosts": {"AI_TEXT_CHAT": 3, "SHORTS_MEDIA": 9}})
    assert first.json["featureCosts"] == {"AI_TEXT_CHAT": 3, "SHORTS_MEDIA": 9}
    charged = (await api.deduct(user, None)).json
    assert charged["credits"] == 3
    second = await api.call("PATCH", costs, {"featureCosts": {"SHORTS_MEDIA": None, "SHORTS_SCRIPT": 0}})
    assert second.json["featureCosts"] == {"AI_TEXT_CHAT": 3, "SHORTS_SCRIPT": 0}
    price = (await api.get(f"/v1/entries/{charged['entryId']}")).json["price"]
    assert price == f"settings@{first.json['updatedAt']}"
    assert (await api.get("/v1/admin/settings")).json == second.json
    for bad in ({}, {"featureCosts": None}, {"featureCosts": {"A": -1}}, {"featureCosts": {"A": True}}, {"featureCosts": {"": 1}},
                {"featureCosts": {"A": "1"}}, {"featureCosts": {"A\0": 1}}, {"featureCosts": {"A": 2**31}}):  # fmt: skip
        assert (await api.call("PATCH", costs, bad)).code == "invalid_body", bad
    assert (await api.get("/v1/admin/settings")).json == second.json


async def test_a_typo_in_a_price_is_told_and_forced_it_is_set(api: Api) -> None:
    path, typo = "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 3, "AI_TEXT_CHATS": 3}}
    told = await api.call("PATCH", path, typo)
    assert (told.status, told.code, told.json["field"]) == (422, "unknown_operation_type", "featureCosts.AI_TEXT_CHATS")
    assert told.json["detail"].startswith("featureCosts.AI_TEXT_CHATS")
    assert "did you mean AI_TEXT_CHAT?" in told.json["detail"]
    assert (await api.get(path)).json["featureCosts"] is None, "nothing of it is set"
    for force in ("?force", "?force=true"):
        assert (await api.call("PATCH", path + force, typo)).json["featureCosts"] == typo["featureCosts"]
    assert (await api.call("PATCH", f"{path}?force=false", typo)).status == 422
    assert (await api.call("PATCH", f"{path}?force=perhaps", typo)).code == "invalid_query"
    gone = await api.call("PATCH", path, {"featureCosts": {"AI_TEXT_CHATS": None, "NEVER_THERE": None}})
    assert gone.json["featureCosts"] == {"AI_TEXT_CHAT": 3}, "what is removed may have any name"


async def test_an_operation_type_that_the_app_just_made_may_be_priced(api: Api, connection: Connection) -> None:
    await connection.execute("""ALTER TYPE "OperationType" ADD VALUE 'BRAND_NEW'""")
    set_ = await api.call("PATCH", "/v1/admin/settings", {"featureCosts": {"BRAND_NEW": 4}})
    assert (set_.status, set_.json["featureCosts"]) == (200, {"BRAND_NEW": 4})


async def test_merges_at_once_do_not_undo_each_other(api: Api) -> None:
    await asyncio.gather(
        *(
            api.call("PATCH", "/v1/admin/settings?force", {"featureCosts": {f"F{number}": number}})
            for number in range(20)
        )
    )
    assert (await api.get("/v1/admin/settings")).json["featureCosts"] == {f"F{number}": number for number in range(20)}


async def test_a_change_by_the_app_is_seen_and_each_entry_tells_its_price(api: Api, connection: Connection) -> None:
    """As Prisma writes it: plain SQL, `updatedAt` from the client."""
    user = await api.user(1000)
    await connection.execute(
        'INSERT INTO "AdminSettings" ("id", "featureCosts", "updatedAt") '
        "VALUES ('singleton', '{\"AI_TEXT_CHAT\": 7}', '2026-11-23 10:00:00.123')"
    )
    async with asyncio.timeout(PATIENCE_S):
        while (charged := await api.deduct(user, None)).status != 201:
            await asyncio.sleep(0.02)
    entry = (await api.get(f"/v1/entries/{charged.json['entryId']}")).json
    assert (charged.json["credits"], entry["price"]) == (7, "settings@2026-11-23T10:00:00.123Z")
    named = (await api.deduct(user, 5)).json["entryId"]
    assert (await api.get(f"/v1/entries/{named}")).json["price"] is None


async def test_features_belong_to_a_workspace(api: Api) -> None:
    here = (await api.post("/v1/features", {"workspaceId": "w1", "name": "chat", "tags": ["a", "b"]})).json
    there = (await api.post("/v1/features", {"workspaceId": "w2", "name": "video", "description": "x"})).json
    assert [each["id"] for each in (await api.get("/v1/features")).json["items"]] == [there["id"], here["id"]]
    assert [each["id"] for each in (await api.get("/v1/features?workspaceId=w1")).json["items"]] == [here["id"]]
    feature = f"/v1/features/{here['id']}"
    changed = (await api.call("PATCH", feature, {"tags": [], "description": "talks"})).json
    assert (changed["name"], changed["tags"], changed["description"]) == ("chat", [], "talks")
    assert (await api.call("DELETE", feature)).json["id"] == here["id"]
    for method in ("GET", "DELETE", "PATCH"):
        assert (await api.call(method, feature, {} if method == "PATCH" else None)).code == "feature_not_found"
    assert (await api.post("/v1/features", {"name": "nowhere"})).json["field"] == "workspaceId"


async def test_a_key_of_a_workspace_sees_only_that_one(api: Api, connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes, workspace_id) VALUES ('k', 'k', $1, $2, 'w1')",
        sha256(b"key-of-w1").digest(),
        ["ledger:read", "ledger:write"],
    )
    there = (await api.post("/v1/features", {"workspaceId": "w2", "name": "video"})).json["id"]
    bound: dict[str, Any] = {"auth": "Bearer key-of-w1"}
    async with asyncio.timeout(PATIENCE_S):
        while (made := await api.post("/v1/features", {"name": "chat"}, **bound)).status == 401:
            await asyncio.sleep(0.02)
    assert (made.status, made.json["workspaceId"]) == (201, "w1")
    assert [each["id"] for each in (await api.get("/v1/features", **bound)).json["items"]] == [made.json["id"]]
    for method in ("GET", "DELETE", "PATCH"):
        reply = await api.call(
            method, f"/v1/features/{there}", {"name": "mine"} if method == "PATCH" else None, **bound
        )
        assert reply.code == "feature_not_found"
    assert (await api.post("/v1/features", {"workspaceId": "w2", "name": "x"}, **bound)).status == 422
    assert (await api.get("/v1/features?workspaceId=w2", **bound)).status == 400
    assert (await api.get(f"/v1/features/{there}")).json["name"] == "video"


async def test_files_are_their_owners(api: Api, connection: Connection) -> None:
    ana, ben = await api.user(), await api.user()
    made = [
        (await api.post("/v1/storage-objects", FILE | {"user": ana, "name": f"{number}.png"})).json
        for number in range(3)
    ]
    assert made[0]["provider"] == "vercel_blob"
    await connection.execute('UPDATE "StorageObject" SET "createdAt" = \'2026-01-01\'')  # equal times: the id decides
    first = (await api.get(f"/v1/storage-objects?user={ana}&limit=2")).json
    await api.post("/v1/storage-objects", FILE | {"user": ana})
    rest = (await api.get(f"/v1/storage-objects?user={ana}&limit=2&cursor={first['nextCursor']}")).json
    assert [each["id"] for each in first["items"] + rest["items"]] == [each["id"] for each in reversed(made)]
    one = f"/v1/storage-objects/{made[0]['id']}"
    for method in ("GET", "DELETE"):
        assert (await api.call(method, f"{one}?user={ben}")).code == "storage_object_not_found"
        assert (await api.call(method, one)).code == "invalid_query"
    assert (await api.get(f"/v1/storage-objects?user={ben}")).json["items"] == []
    assert (await api.get(f"/v1/users/{ana}/storage")).json == {
        "userId": ana, "objects": 4, "bytes": 4 * 512_000, "deletedObjects": 0, "deletedBytes": 0,
    }  # fmt: skip
    deleted = await api.call("DELETE", f"{one}?user={ana}")
    assert deleted.json["deletedAt"] is not None
    assert (await api.call("DELETE", f"{one}?user={ana}")).status == 404
    assert (await api.get(f"{one}?user={ana}")).status == 404
    assert made[0]["id"] not in {
        each["id"] for each in (await api.get(f"/v1/storage-objects?user={ana}")).json["items"]
    }
    assert (await api.get("/v1/storage-objects/purgeable?deletedForDays=30")).json["items"] == []
    await connection.execute(
        'UPDATE "StorageObject" SET "deletedAt" = now() - interval \'31 days\' WHERE "deletedAt" IS NOT NULL'
    )
    assert [each["id"] for each in (await api.get("/v1/storage-objects/purgeable")).json["items"]] == [made[0]["id"]]
    totals = (await api.get(f"/v1/users/{ana}/storage")).json
    assert (totals["objects"], totals["deletedObjects"], totals["deletedBytes"]) == (3, 1, 512_000)
    for bad in (
        FILE,
        FILE | {"user": ana, "size": -1},
        FILE | {"user": ana, "size": 2**31},
        FILE | {"user": ana, "url": ""},
    ):
        assert (await api.post("/v1/storage-objects", bad)).code == "invalid_body"
    assert (await api.post("/v1/storage-objects", FILE | {"user": "nobody"})).code == "user_not_found"
    for bad in ("-1", "x", "100000"):
        assert (await api.get(f"/v1/storage-objects/purgeable?deletedForDays={bad}")).code == "invalid_query"


async def test_subscription_events_are_kept_and_listed(api: Api) -> None:
    user = (await api.post("/v1/users", {"clerkId": "ana"})).json["id"]
    event = {
        "clerkUserId": "ana",
        "planKey": "Pro",
        "status": "active",
        "eventType": "subscription.created",
        "metadata": {"a": [1]},
    }
    made = await api.post("/v1/subscription-events", event | {"occurredAt": "2026-11-01T12:00:00+02:00"})
    assert made.status == 201, made.body
    assert made.json | event == made.json
    assert (made.json["userId"], made.json["occurredAt"]) == (user, "2026-11-01T10:00:00.000Z")
    unknown = (await api.post("/v1/subscription-events", event | {"clerkUserId": "not yet", "metadata": None})).json
    assert unknown["userId"] is None
    listed = "/v1/subscription-events"
    assert [each["id"] for each in (await api.get(listed)).json["items"]] == [unknown["id"], made.json["id"]]
    assert [each["id"] for each in (await api.get(f"{listed}?clerkUserId=ana")).json["items"]] == [made.json["id"]]
    page = (await api.get(f"{listed}?limit=1")).json
    assert [each["id"] for each in (await api.get(f"{listed}?cursor={page['nextCursor']}")).json["items"]] == [
        made.json["id"]
    ]
    for bad in (
        {"status": "x"},
        event | {"occurredAt": "yesterday"},
        event | {"more": 1},
        event | {"metadata": {"a": "\0"}},
    ):
        assert (await api.post(listed, bad)).status in (400, 422)
