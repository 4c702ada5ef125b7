"""What a browser is told of pages of other origins, and what of those that are not allowed."""

from collections.abc import AsyncIterator

import pytest

from pedro_ledger.api.http.cors import EXPOSED_HEADERS
from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api

APP = "https://app.example.com"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


@pytest.fixture
async def open_api(database_url: str) -> AsyncIterator[Api]:
    settings = settings_for(database_url, cors_origins=f"{APP}, http://localhost:3000")
    async with Daemon(settings).started() as running, Api.open(running) as api:
        yield api


async def test_a_preflight_is_answered_and_kept(open_api: Api) -> None:
    for origin in (APP, "http://localhost:3000"):
        asked = ASKS | {"Origin": origin}
        reply = await open_api.call("OPTIONS", "/v1/users/me/deduct", auth=None, headers=asked)
        assert (reply.status, reply.body, reply.headers["Access-Control-Allow-Origin"]) == (204, b"", origin)
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(reply.headers["Access-Control-Allow-Methods"].split(", "))
        allowed = reply.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key", "x-request-id"} <= set(allowed)
        assert int(reply.headers["Access-Control-Max-Age"]) >= 600
        assert (reply.headers["Vary"], reply.headers["Server"]) == ("Origin", "pedro-ledger")
        assert "Access-Control-Allow-Credentials" not in reply.headers


async def test_answers_and_problems_may_be_read(open_api: Api) -> None:
    user = await open_api.user()
    for path, auth, status in ((f"/v1/users/{user}/balance", True, 200), ("/v1/users/me/balance", False, 401)):
        sent = {"headers": {"Origin": APP}} | ({} if auth else {"auth": None})
        reply = await open_api.get(path, **sent)
        assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (status, APP)
        assert reply.headers["Access-Control-Expose-Headers"] == EXPOSED_HEADERS
        assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        f"{APP}/",
        f"{APP}:8443",
        "http://app.example.com",
        "https://app.example.com.evil.test",
        "null",
        "*",
        "",
        APP.upper(),
    ],
)
async def test_other_origins_are_told_nothing(open_api: Api, origin: str) -> None:
    read = await open_api.get("/livez", auth=None, headers={"Origin": origin})
    asked = await open_api.call("OPTIONS", "/v1/users/me/deduct", auth=None, headers=ASKS | {"Origin": origin})
    assert (read.status, asked.status, read.headers["Vary"]) == (200, 405, "Origin")
    assert not [name for reply in (read, asked) for name in reply.headers if name.startswith("Access-Control")]


async def test_without_the_setting_no_page_may_read(api: Api) -> None:
    reply = await api.get("/livez", auth=None, headers={"Origin": APP})
    assert not {"Access-Control-Allow-Origin", "Vary"} & set(reply.headers)
    asked = await api.call("OPTIONS", "/v1/users/me/deduct", auth=None, headers=ASKS | {"Origin": APP})
    assert asked.code == "method_not_allowed"


async def test_a_plain_options_is_no_preflight(open_api: Api) -> None:
    assert (await open_api.call("OPTIONS", "/livez", auth=None, headers={"Origin": APP})).status == 405
