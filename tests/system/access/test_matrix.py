"""Every route of the table, called with every kind of key."""

import asyncio
import re
from collections.abc import AsyncIterator
from enum import Enum
from secrets import token_hex
from typing import Any

import asyncpg
import pytest

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.api.routes import PUBLIC, ROUTES, Route
from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.databases import TestServer
from tests.support.patience import PATIENCE_S

OPEN = {
    "/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/errors",
    "/docs/page.css",
    "/docs/page.js",
}
"""Needs no key, on purpose: a route that is not here and declares no scope fails."""
PROVES_ITSELF = {"/v1/webhooks/clerk", "/v1/webhooks/asaas"}
"""By a signature in place of a key."""


class Kind(Enum):
    """Kinds of keys, each with its scopes and what is set in its row."""

    NONE = ("no key",)
    UNKNOWN = ("unknown",)
    OTHER_SCHEME = ("another scheme",)
    EXPIRED = (*Scope, "expired")
    REVOKED = (*Scope, "revoked")
    SCOPELESS = ("no scope",)
    WRITE = (Scope.WRITE,)
    READ = (Scope.READ,)
    ADMIN = (Scope.ADMIN,)
    REPORTS = (Scope.REPORTS,)
    EVERYTHING = (*Scope, "everything")
    IN_A_WORKSPACE = (*Scope, "workspace")

    @property
    def scopes(self) -> list[str]:
        return [scope for scope in self.value if scope in set(Scope)]

    @property
    def is_valid(self) -> bool:
        return (self.scopes != [] and self not in {Kind.EXPIRED, Kind.REVOKED}) or self is Kind.SCOPELESS


class Matrix:
    """A daemon, and the `Authorization` of each kind."""

    def __init__(self, api: Api, user: str, entry: str) -> None:
        self.api = api
        self.values = {"user": user, "entry": entry}
        self.auth: dict[Kind, str | None] = {}

    async def make_keys(self, connection: Any) -> None:
        for kind in Kind:
            key = f"key-of-{kind.name}-{token_hex(8)}"
            self.auth[kind] = {Kind.NONE: None, Kind.OTHER_SCHEME: f"Basic {API_KEY}"}.get(kind, f"Bearer {key}")
            if kind in {Kind.NONE, Kind.UNKNOWN, Kind.OTHER_SCHEME}:
                continue
            workspace = "w1" if kind is Kind.IN_A_WORKSPACE else None
            await connection.execute(
                "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes, workspace_id) VALUES ($1, $1, $2, $3, $4)",
                kind.name, KeyRing.digest(key), kind.scopes, workspace,
            )  # fmt: skip
            await self.is_answered(kind, is_valid=True)
        for kind, column in ((Kind.EXPIRED, "expires_at"), (Kind.REVOKED, "revoked_at")):
            await connection.execute(f"UPDATE pedro_ledger.api_key SET {column} = now() WHERE id = $1", kind.name)
            await self.is_answered(kind, is_valid=False)

    async def is_answered(self, kind: Kind, *, is_valid: bool) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while ((await self.api.get("/v1/users", auth=self.auth[kind])).status != 401) != is_valid:
                await asyncio.sleep(0.01)

    async def call(self, route: Route, kind: Kind) -> tuple[int, str | None]:
        path = re.sub(r"\{(\w+)\}", lambda name: self.values.get(name[1], "something"), route.path)
        # A balance stream would not end; with an id that is none, whoever is let in is told so.
        reply = await self.api.call(route.method, path, auth=self.auth[kind], headers={"Last-Event-ID": "none"})
        return reply.status, reply.code if reply.status >= 400 and reply.body.startswith(b'{"type"') else None


@pytest.fixture(scope="module")
async def matrix(server: TestServer) -> AsyncIterator[Matrix]:
    name = await server.clone("ledger_template")
    async with Daemon(settings_for(server.url(name))).started() as running, Api.open(running) as api:
        user = await api.user(100)
        made = Matrix(api, user, (await api.statement(user))[0]["id"])
        connection = await asyncpg.connect(server.url(name))
        await made.make_keys(connection)
        await connection.close()
        yield made
    await server.drop(name)


def expected(route: Route, kind: Kind) -> tuple[int, str] | None:
    """How the call must be refused; None where the key must not be what it fails at."""
    if not kind.is_valid:
        return 401, "unauthorized"
    if route.scope not in kind.scopes:
        return 403, "scope_missing"
    if kind is Kind.IN_A_WORKSPACE and not route.path.startswith("/v1/features"):
        return 403, "workspace_only"
    return None


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_admits_whom_it_declares(matrix: Matrix, route: Route, kind: Kind) -> None:
    answer = await matrix.call(route, kind)
    if route.scope is PUBLIC:
        assert answer == await matrix.call(route, Kind.EVERYTHING), "it looks at the key that it does not need"
        assert answer[0] == 200 or route.path in PROVES_ITSELF
        return
    refusal = expected(route, kind)
    if refusal is None:
        assert answer[0] not in {401, 403}
        assert answer[0] < 500
    else:
        assert answer == refusal


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_declares_a_scope_or_is_public_on_purpose(route: Route) -> None:
    if route.path in OPEN | PROVES_ITSELF:
        assert route.scope is PUBLIC
    else:
        assert isinstance(route.scope, Scope)


def test_a_route_that_declares_nothing_is_shut() -> None:
    undeclared = Route("GET", "/forgotten", ROUTES[-1].handler, None, answer=str)  # type: ignore[arg-type]
    assert undeclared.scope is not PUBLIC
    with pytest.raises(Problem, match="needs the scope None"):
        Caller("key", frozenset(Scope)).enter(undeclared.scope, by_workspace=undeclared.by_workspace)
    with pytest.raises(AssertionError):
        test_every_route_declares_a_scope_or_is_public_on_purpose(undeclared)


async def test_only_admin_mints_by_a_refund_without_an_entry(matrix: Matrix) -> None:
    api, user = matrix.api, matrix.values["user"]
    minted = {"operationType": "AI_TEXT_CHAT", "credits": 5}
    before = await api.balance(user)
    for kind, status in ((Kind.WRITE, 403), (Kind.EVERYTHING, 201)):
        alone = await api.post(f"/v1/users/{user}/refund", minted, key=f"mint-{kind.name}", auth=matrix.auth[kind])
        line = {"type": "refund", "user": user, "idempotencyKey": f"mint-line-{kind.name}", **minted}
        batch = await api.post("/v1/operations", {"operations": [line]}, auth=matrix.auth[kind])
        (result,) = batch.json["results"]
        assert (alone.status, result["status"]) == (status, status)
        if status == 403:
            assert (alone.code, alone.json["scope"]) == ("scope_missing", "admin")
            assert (result["error"]["code"], result["error"]["scope"]) == ("scope_missing", "admin")
            assert await api.balance(user) == before
    assert await api.balance(user) == before + 10


async def test_a_key_that_writes_refunds_by_entry(matrix: Matrix) -> None:
    api, user, auth = matrix.api, matrix.values["user"], matrix.auth[Kind.WRITE]
    entry = (await api.deduct(user, 3)).json["entryId"]
    alone = await api.post(f"/v1/users/{user}/refund", {"entryId": entry, "credits": 1}, key="undo-1", auth=auth)
    line = {"type": "refund", "user": user, "idempotencyKey": "undo-2", "entryId": entry}
    batch = await api.post("/v1/operations", {"operations": [line]}, auth=auth)
    assert (alone.status, batch.json["results"][0]["status"]) == (201, 201)


async def test_only_admin_sets_the_plan_of_a_user(matrix: Matrix) -> None:
    api = matrix.api
    clerk_id = (await api.get(f"/v1/users/{matrix.values['user']}")).json["clerkId"]
    event = {"clerkUserId": clerk_id, "planKey": "Pro", "status": "active", "eventType": "subscription.created"}
    refused = await api.post("/v1/subscription-events", event, auth=matrix.auth[Kind.WRITE])
    assert (refused.code, refused.json["scope"]) == ("scope_missing", "admin")
    assert (await api.post("/v1/subscription-events", event, auth=matrix.auth[Kind.ADMIN])).status == 201


async def test_what_is_wrong_with_a_key_is_not_told(matrix: Matrix) -> None:
    kinds = (Kind.NONE, Kind.UNKNOWN, Kind.OTHER_SCHEME, Kind.EXPIRED, Kind.REVOKED)
    replies = [await matrix.api.get("/v1/users", auth=matrix.auth[kind]) for kind in kinds]
    assert len({reply.body for reply in replies}) == 1
    assert {reply.headers["WWW-Authenticate"] for reply in replies} == {'Bearer realm="pedro-ledger"'}
