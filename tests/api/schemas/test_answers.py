"""The routes' real answers are what they declare: no field more, none less, each of its type."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from pydantic import TypeAdapter

from pedro_ledger.api.routes import ROUTES, Route
from pedro_ledger.api.schemas import answers
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.proofs.sealer import Sealer
from pedro_ledger.proofs.signing import make_key
from tests.conftest import settings_for
from tests.support import webhooks
from tests.support.client import API_KEY, Api, Reply
from tests.support.databases import TestServer

FILE = {"url": "u", "pathname": "p", "name": "n", "size": 1, "contentType": "text/plain"}
WHAT_IF = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z", "featureCosts": {"AI_TEXT_CHAT": 2}}
LIMIT = {"credits": 500, "window": "month"}
EVENT = {"clerkUserId": "ana", "status": "active", "eventType": "created", "metadata": {"a": 1}}


class World(NamedTuple):
    """A daemon with one of everything."""

    api: Api
    user: str
    entry: str
    """A deduct that was partly refunded and is sealed."""
    plan: str
    feature: str
    file: str
    hold: str
    """Open, with a lease and a reference."""


@pytest.fixture(scope="module")
async def world(server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    name = await server.clone("ledger_template")
    async with (
        Daemon(settings_for(server.url(name), **webhooks.SETTINGS)).started() as running,
        Api.open(running) as api,
    ):
        yield await furnished(api, server.url(name), tmp_path_factory.mktemp("proofs"))
    await server.drop(name)


async def furnished(api: Api, url: str, folder: Path) -> World:
    made = await api.post("/v1/users", {"clerkId": "ana", "email": "ana@example.com", "name": "Ana"})
    user = made.json["id"]
    spent = await api.deduct(user, 7, details={"text": "ü"})
    assert (await api.refund(user, entryId=spent.json["entryId"], credits=3)).status == 201
    rule = {"percent": 50, "cap": 5, "times": 2, "expiresIn": 60}
    assert (await api.grant(user, 10, expiresIn=3600, rollover=rule)).status == 201
    priced = {"tokenPrices": {"AI_TEXT_CHAT": {"*": {"uncachedInput": 1, "output": 1, "minimum": 1}}}}
    assert (await api.call("PATCH", "/v1/admin/settings", priced)).status == 200
    assert (await api.deduct(user, None, model="m", tokens={"output": 5})).status == 201
    hold = await api.hold(user, 20, lease=60, reference="chat", onBehalfOf="ben")
    assert (await api.capture(hold.json["entryId"], 3, final=False)).status == 201
    plan = (await api.post("/v1/plans", {"name": "Pro", "credits": 5, "features": {"AI_TEXT_CHAT": 2}})).json["id"]
    feature = (await api.post("/v1/features", {"workspaceId": "w", "name": "f", "tags": ["t"]})).json["id"]
    file, gone = [(await api.post("/v1/storage-objects", FILE | {"user": user})).json["id"] for _ in range(2)]
    assert (await api.call("DELETE", f"/v1/storage-objects/{gone}?user={user}")).status == 200
    for path in (f"/v1/users/{user}/limits/own", "/v1/limits/all"):
        assert (await api.call("PUT", path, LIMIT)).status == 200
    assert (await api.post("/v1/subscription-events", EVENT)).status == 201
    assert (await webhooks.clerk(api, webhooks.clerk_item("nobody"))).json["reason"] == "user_not_found"
    database = Database(parse_database_url(url))
    await database.open()
    assert await Sealer(database, make_key(folder / "key.pem"), folder / "checkpoints.ndjson").seal() is not None
    await database.close()
    return World(api, user, spent.json["entryId"], plan, feature, file, hold.json["entryId"])


async def every_kind_at_once(world: World) -> Reply:
    lines: list[dict[str, Any]] = [
        {"type": "deduct", "user": world.user, "idempotencyKey": "b1", "operationType": "AI_TEXT_CHAT", "credits": 1},
        {"type": "deduct", "user": world.user, "idempotencyKey": "b1", "operationType": "AI_TEXT_CHAT", "credits": 1},
        {
            "type": "deduct",
            "user": world.user,
            "idempotencyKey": "b2",
            "operationType": "AI_TEXT_CHAT",
            "credits": 9999,
        },
        {"type": "grant", "user": world.user, "idempotencyKey": "b3", "source": "topup", "credits": 1},
        {"type": "nothing"},
    ]
    return await world.api.post("/v1/operations", {"operations": lines})


async def on_a_hold(world: World, what: str, **body: Any) -> Reply:
    """A call about a hold of its own."""
    hold = (await world.api.hold(world.user, 2, lease=60)).json["entryId"]
    key = None if what == "heartbeat" else f"{what}-once"
    return await world.api.post(f"/v1/holds/{hold}/{what}", body, key=key)


async def get(world: World, path: str) -> Reply:
    """The first of a list, a page before others, or the thing itself."""
    return await world.api.get(path)


Call = Callable[[World], Awaitable[Reply]]


async def recurring(on: World, method: str, path: str) -> Reply:
    """A call about recurring grants of a user who has one."""
    wanted = {"credits": 5, "rollover": {"percent": 50, "cap": 9}}
    made = await on.api.call("PUT", f"/v1/users/{on.user}/recurring-grants/monthly", wanted)
    assert made.status == 200, made.body
    return await on.api.call(method, f"/v1/users/{on.user}/recurring-grants{path}", wanted if method == "PUT" else None)


async def first_of_stream(on: World) -> Reply:
    """A stream goes on; its first piece is enough."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    path = f"{on.api.address}/v1/users/{on.user}/balance/stream"
    async with on.api.session.get(path, headers=headers) as response:
        return Reply(response.status, response.headers, await response.content.readuntil(b"\n\n"))


CALLS: dict[str, Call] = {
    "GET /v1/users/{user}/balance/stream": first_of_stream,
    "POST /v1/users/{user}/deduct": lambda on: on.api.deduct(on.user, 1),
    "POST /v1/users/{user}/refund": lambda on: on.api.refund(on.user, entryId=on.entry, credits=1),
    "POST /v1/users/{user}/grants": lambda on: on.api.grant(on.user, 1),
    "POST /v1/users/{user}/adjustments": lambda on: on.api.adjust(on.user, 1, reason="sorry"),
    "POST /v1/users/{user}/holds": lambda on: on.api.hold(on.user, 1, lease=60, reference="other"),
    "POST /v1/holds/{hold}/capture": lambda on: on_a_hold(on, "capture", credits=3, overage="cap"),
    "POST /v1/holds/{hold}/extend": lambda on: on_a_hold(on, "extend", credits=1, expiresIn=60),
    "POST /v1/holds/{hold}/void": lambda on: on_a_hold(on, "void"),
    "POST /v1/holds/{hold}/heartbeat": lambda on: on_a_hold(on, "heartbeat", used=1),
    "GET /v1/users/{user}/recurring-grants": lambda on: recurring(on, "GET", ""),
    "PUT /v1/users/{user}/recurring-grants/{schedule}": lambda on: recurring(on, "PUT", "/monthly"),
    "DELETE /v1/users/{user}/recurring-grants/{schedule}": lambda on: recurring(on, "DELETE", "/monthly"),
    "POST /v1/operations": every_kind_at_once,
    "POST /v1/users": lambda on: on.api.post("/v1/users", {"clerkId": "ben"}),
    "PATCH /v1/users/{user}": lambda on: on.api.call("PATCH", f"/v1/users/{on.user}", {"name": "Ana B"}),
    "POST /v1/plans": lambda on: on.api.post("/v1/plans", {"name": "Basic", "credits": 1, "currency": "BRL"}),
    "PATCH /v1/plans/{plan}": lambda on: on.api.call("PATCH", f"/v1/plans/{on.plan}", {"badge": "new"}),
    "POST /v1/features": lambda on: on.api.post("/v1/features", {"workspaceId": "w", "name": "g"}),
    "PATCH /v1/features/{feature}": lambda on: on.api.call("PATCH", f"/v1/features/{on.feature}", {"name": "h"}),
    "PATCH /v1/admin/settings": lambda on: on.api.call(
        "PATCH", "/v1/admin/settings", {"featureCosts": {"AI_TEXT_CHAT": 1}}
    ),
    "POST /v1/storage-objects": lambda on: on.api.post("/v1/storage-objects", FILE | {"user": on.user}),
    "GET /v1/storage-objects": lambda on: on.api.get(f"/v1/storage-objects?user={on.user}"),
    "GET /v1/storage-objects/purgeable": lambda on: on.api.get("/v1/storage-objects/purgeable?deletedForDays=0"),
    "GET /v1/storage-objects/{object}": lambda on: on.api.get(f"/v1/storage-objects/{on.file}?user={on.user}"),
    "DELETE /v1/storage-objects/{object}": lambda on: on.api.call(
        "DELETE", f"/v1/storage-objects/{on.file}?user={on.user}"
    ),
    "POST /v1/subscription-events": lambda on: on.api.post("/v1/subscription-events", EVENT),
    "PUT /v1/users/{user}/limits/{limit}": lambda on: on.api.call("PUT", f"/v1/users/{on.user}/limits/m", LIMIT),
    "DELETE /v1/users/{user}/limits/{limit}": lambda on: on.api.call("DELETE", f"/v1/users/{on.user}/limits/own"),
    "PUT /v1/limits/{limit}": lambda on: on.api.call("PUT", "/v1/limits/other", LIMIT),
    "DELETE /v1/limits/{limit}": lambda on: on.api.call("DELETE", "/v1/limits/all"),
    "POST /v1/reports/what-if": lambda on: on.api.post("/v1/reports/what-if", WHAT_IF),
    "GET /v1/reports/{report}": lambda on: on.api.get("/v1/reports/top-users"),
    "GET /v1/exports/{export}": lambda on: on.api.get("/v1/exports/entries"),
    "POST /v1/webhooks/clerk": lambda on: webhooks.clerk(on.api, webhooks.clerk_user("created", "eve")),
    "POST /v1/webhooks/asaas": lambda on: webhooks.asaas(on.api, webhooks.asaas_payment("RECEIVED")),
}
"""How the routes are called that a plain request to their path does not show."""


def call_of(route: Route[Any]) -> Call:
    def call(on: World) -> Awaitable[Reply]:
        path = route.path
        for name in ("user", "entry", "plan", "feature", "hold"):
            path = path.replace(f"{{{name}}}", getattr(on, name))
        assert "{" not in path, "say in CALLS how this route is called"
        return on.api.call(route.method, path)

    return CALLS.get(f"{route.method} {route.path}", call)


def in_order(routes: tuple[Route[Any], ...]) -> list[Route[Any]]:
    """Those that delete come last: others look at the same things."""
    return sorted(routes, key=lambda route: route.method == "DELETE")


@pytest.mark.parametrize("route", in_order(ROUTES), ids=lambda route: f"{route.method} {route.path}")
async def test_a_route_answers_what_it_declares(world: World, route: Route[Any]) -> None:
    reply = await call_of(route)(world)
    assert reply.status in route.statuses, reply.body
    media = reply.headers["Content-Type"].partition(";")[0]
    assert media in route.media or (route.media == ("text/*",) and media.startswith("text/"))
    if media == "application/json":
        answer = reply.json
        assert TypeAdapter(route.answer).validate_python(answer, strict=True) == answer, "it has fields of no type"
        assert answer.get("items", ["something"]), "an empty list shows no item's type"


async def test_each_kind_of_result_of_many_is_seen(world: World) -> None:
    found = (await every_kind_at_once(world)).json["results"]
    assert {frozenset(each) for each in found} >= {
        frozenset({"status", "receipt", "replayed"}),
        frozenset({"status", "error"}),
    }


def test_a_field_too_many_too_few_or_of_another_type_is_seen() -> None:
    receipt = {
        "entryId": "e", "userId": "u", "type": "deduct", "operationType": None, "credits": 1, "creditsRemaining": 1,
        "creditsHeld": 0, "seq": 1, "timestamp": "2026-01-31T12:00:00.000Z",
    }  # fmt: skip
    adapter = TypeAdapter(answers.Receipt)
    assert adapter.validate_json(orjson.dumps(receipt), strict=True) == receipt
    assert adapter.validate_python(receipt | {"more": 1}) != receipt | {"more": 1}
    for wrong in ({"credits": -1}, {"credits": "1"}, {"timestamp": "2026-01-31T12:00:00Z"}, {"userId": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            adapter.validate_python(receipt | wrong, strict=True)
    with pytest.raises(ValueError, match="seq"):
        adapter.validate_python({name: value for name, value in receipt.items() if name != "seq"})
