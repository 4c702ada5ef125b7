"""What operators and their tools ask."""

import asyncio

import pytest
from openapi_spec_validator import validate

from pedro_ledger.api.routes import ROUTES
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.url import parse_database_url
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.databases import TestServer
from tests.support.patience import PATIENCE_S


async def test_health_answers_as_the_apps_own_did(api: Api) -> None:
    reply = await api.get("/health", auth=None)
    assert (reply.status, reply.json["status"]) == (200, "healthy")
    assert reply.json["timestamp"].endswith("Z")
    assert (await api.get("/livez", auth=None)).status == 200
    assert (await api.get("/readyz", auth=None)).json == {"status": "ready"}


async def test_a_database_that_may_lose_what_it_commits_is_not_ready(api: Api, connection: Connection) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(PATIENCE_S):
        missing: list[str] = []
        while missing != ["the database is not a writable primary"]:
            api.parts.health._asked_at = float("-inf")
            reply = await api.get("/readyz")
            missing = reply.json.get("missing", [])
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


async def test_a_database_that_is_away_is_told_and_comes_back(api: Api, server: TestServer, database_url: str) -> None:
    user = await api.user(100)
    name = str(parse_database_url(database_url).database)
    await server.execute(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    api.parts.health._asked_at = float("-inf")
    assert (await api.get("/health")).status == 500
    assert (await api.get("/readyz")).json["missing"] == ["the database does not answer"]
    away = await api.get(f"/v1/users/{user}/balance")
    assert (away.status, away.code, away.headers["Retry-After"]) == (503, "unavailable", "2")
    waiting = asyncio.create_task(api.deduct(user, 1))
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert (await waiting).status == 201
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get("/readyz")).status != 200:
            api.parts.health._asked_at = float("-inf")


async def test_metrics_tell_what_happened(api: Api) -> None:
    user = await api.user(100)
    await api.deduct(user, 1, key="k")
    await api.deduct(user, 1, key="k")
    await api.deduct(user, 1000)
    lines = (await api.get("/metrics", auth=None)).body.decode().splitlines()
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    assert values['pedro_ledger_operations_total{outcome="applied",type="deduct"}'] == 2
    assert values['pedro_ledger_operations_total{outcome="insufficient_credits",type="deduct"}'] == 1
    assert values["pedro_ledger_replays_total"] == 1
    assert values["pedro_ledger_accounts_resident"] == 1
    assert values["pedro_ledger_commit_seconds_count"] == values["pedro_ledger_decide_seconds_count"] + 0 >= 3
    route = 'pedro_ledger_http_requests_total{method="POST",route="/v1/users/{user}/deduct",status="201"}'
    assert values[route] == 2
    assert not any(user in line for line in lines)


async def test_the_description_is_valid_and_has_every_route(api: Api) -> None:
    document = (await api.get("/openapi.json", auth=None)).json
    validate(document)
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}


async def test_answers_have_the_described_shape(api: Api) -> None:
    document = (await api.get("/openapi.json")).json
    user = await api.user(100)
    receipt = (await api.deduct(user, 1)).json
    entry = (await api.get(f"/v1/entries/{receipt['entryId']}")).json
    for name, answer in (
        ("Receipt", receipt),
        ("Balance", (await api.get(f"/v1/users/{user}/balance")).json),
        ("EntryInFull", entry),
        ("Entry", (await api.statement(user))[0]),
        ("User", (await api.get(f"/v1/users/{user}")).json),
        ("Usage", (await api.get(f"/v1/users/{user}/usage")).json["items"][0]),
    ):
        schema = document["components"]["schemas"][name]
        assert set(schema["required"]) == answer.keys() <= schema["properties"].keys(), name


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", b"\x16\x03\x01\x00\x00", b"GET / HTTP/9.9\r\n\r\n"]
)
async def test_what_is_no_http_is_told_so_and_the_connection_ends(api: Api, sent: bytes) -> None:
    host, _, port = api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/problem+json" in answer
    assert (await api.get("/livez")).status == 200


async def test_a_body_that_dribbles_is_cut_off(database_url: str) -> None:
    head = f"POST /v1/operations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 99\r\n\r\n{{"
    async with Daemon(settings_for(database_url, body_timeout_s=1)).started() as running:
        host, _, port = running.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in answer
