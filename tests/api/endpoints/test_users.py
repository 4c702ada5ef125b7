"""Users over HTTP, as the app's Clerk webhook makes them."""

from urllib.parse import quote

import pytest

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api


async def test_a_user_is_made_once_with_the_signup_grant_and_updated_after(api: Api) -> None:
    made = await api.post("/v1/users", {"clerkId": "c1", "email": "a@example.com", "name": "Ana"})
    assert made.status == 201
    user = made.json
    assert (user["clerkId"], user["email"], user["name"], user["isActive"]) == ("c1", "a@example.com", "Ana", True)
    assert (user["creditBalance"]["creditsRemaining"], user["usageHistory"]) == (100, [])
    await api.call("PATCH", f"/v1/users/{user['id']}", {"isActive": False})
    again = await api.post("/v1/users", {"clerkId": "c1", "email": "b@example.com"})
    assert again.status == 200
    assert (again.json["id"], again.json["email"], again.json["name"]) == (user["id"], "b@example.com", "Ana")
    assert again.json["isActive"] is True
    assert again.json["creditBalance"]["creditsRemaining"] == 100
    (grant,) = await api.statement(user["id"])
    assert (grant["type"], grant["source"], grant["credits"]) == ("grant", "signup", 100)


async def test_a_user_is_read_with_its_five_newest_usages(api: Api) -> None:
    user = await api.user(100)
    for number in range(1, 8):
        await api.deduct(user, number)
    told = (await api.get(f"/v1/users/{user}")).json
    assert [usage["creditsUsed"] for usage in told["usageHistory"]] == [7, 6, 5, 4, 3]
    assert told["creditBalance"]["creditsRemaining"] == 72
    assert told["usageHistory"][0]["timestamp"].endswith("Z")


async def test_an_email_that_is_taken_is_a_conflict(api: Api) -> None:
    await api.user(100, email="a@example.com")
    user = await api.user(100)
    for reply in (
        await api.post("/v1/users", {"clerkId": "other", "email": "a@example.com"}),
        await api.call("PATCH", f"/v1/users/{user}", {"email": "a@example.com"}),
    ):
        assert (reply.status, reply.code, reply.json["field"]) == (409, "email_taken", "email")


async def test_a_change_touches_what_is_sent_and_nothing_else(api: Api) -> None:
    user = await api.user(100, email="a@example.com", name="Ana")
    changed = (await api.call("PATCH", f"/v1/users/{user}", {"email": None})).json
    assert (changed["email"], changed["name"], changed["isActive"]) == (None, "Ana", True)
    assert (await api.call("PATCH", f"/v1/users/{user}", {"credits": 5})).code == "invalid_body"
    assert (await api.call("PATCH", "/v1/users/nobody", {"name": "x"})).code == "user_not_found"


async def test_users_are_listed_newest_first_by_what_is_asked(api: Api) -> None:
    users = [await api.user(100, email=f"u{number}@example.com") for number in range(5)]
    await api.call("PATCH", f"/v1/users/{users[1]}", {"isActive": False})
    first = (await api.get("/v1/users?limit=3")).json
    second = (await api.get(f"/v1/users?limit=3&cursor={first['nextCursor']}")).json
    assert [user["id"] for user in first["items"] + second["items"]] == users[::-1]
    assert [user["id"] for user in (await api.get("/v1/users?isActive=false")).json["items"]] == [users[1]]
    assert [user["id"] for user in (await api.get("/v1/users?email=u3@example.com")).json["items"]] == [users[3]]
    assert (await api.get("/v1/users?isActive=maybe")).code == "invalid_query"


@pytest.mark.parametrize(
    "clerk_id",
    [
        "x" * 255,
        "a b",
        "a/b",
        "..",
        "a%2Fb",
        "\u00a0",
        "\u2028line",
        "\u0085",
        "\ue000",
        "\U0001f600",
        "clerk:x",
        "hold:x",
        "me",
        "?#&+",
    ],
)
async def test_a_clerk_id_that_makes_a_user_is_found_in_every_call(api: Api, clerk_id: str) -> None:
    made = await api.post("/v1/users", {"clerkId": clerk_id})
    assert made.status == 201
    user, ref = made.json["id"], f"clerk:{clerk_id}"
    in_path = quote(ref, safe="")
    assert (await api.get(f"/v1/users/{in_path}")).json["id"] == user
    assert (await api.deduct(in_path, 1)).json["userId"] == user
    assert (await api.get(f"/v1/users/{in_path}/balance")).json["creditsRemaining"] == 99
    line = {"type": "deduct", "user": ref, "idempotencyKey": "b", "operationType": "AI_TEXT_CHAT", "credits": 1}
    assert (await api.post("/v1/operations", {"operations": [line]})).json["results"][0]["receipt"]["userId"] == user
    file = {"url": "u", "pathname": "p", "name": "n", "size": 1}
    assert (await api.post("/v1/storage-objects", file | {"user": ref})).json["userId"] == user
    assert len((await api.get(f"/v1/storage-objects?user={in_path}")).json["items"]) == 1


@pytest.mark.parametrize("clerk_id", ["", "x" * 256, "a\0b", "a\nb", "\x7f"])
async def test_a_clerk_id_that_makes_no_user_names_none(api: Api, clerk_id: str) -> None:
    assert (await api.post("/v1/users", {"clerkId": clerk_id})).code == "invalid_body"
    assert (await api.get(f"/v1/users/{quote('clerk:' + clerk_id, safe='')}")).code == "user_not_found"
    assert (await api.deduct(quote("clerk:" + clerk_id, safe=""), 1)).code == "user_not_found"


async def test_a_clerk_id_that_anothers_balance_carries_is_answered_alike_everywhere(
    api: Api, connection: Connection
) -> None:
    """As the app leaves it when it moves a Clerk id without the balance."""
    await connection.execute("""
        INSERT INTO "User" (id, "clerkId", "updatedAt")
        VALUES ('old', 'was', now()), ('older', 'was too', now()), ('bare', 'moved', now());
        INSERT INTO "CreditBalance" (id, "userId", "clerkUserId", "creditsRemaining", "updatedAt")
        VALUES ('b', 'old', 'taken', 5, now()), ('c', 'older', 'stray', 5, now());
        UPDATE "User" SET "clerkId" = 'taken' WHERE id = 'bare'""")
    answers = [
        await api.post("/v1/users", {"clerkId": "stray"}),
        await api.deduct("bare", 1),
        await api.deduct("clerk:taken", 1),
        await api.hold("bare", 1),
        await api.grant("bare", 1),
    ]
    assert {(reply.status, reply.code, reply.json["field"]) for reply in answers} == {(409, "clerkid_taken", "clerkId")}
