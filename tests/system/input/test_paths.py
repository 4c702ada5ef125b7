"""Every route with paths and queries that no caller means: nothing is answered with a 5xx, and
every refusal is a problem.
"""

from collections.abc import AsyncIterator

import pytest
from yarl import URL

from pedro_ledger.api.routes import ROUTES, Route
from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.databases import TestServer

VALUES = (
    "%00", "a%00b", "%ff", "%ed%a0%80", "%F0%9F%98%80", "%2e%2e", "%2F", "%25", "%0d%0aX:%20y", "clerk:", "clerk:%00", "%20",
    "x" * 7_000, "-1", "0", "9" * 30, "%EF%BC%91", "NaN", "'", "'%3Bselect%201", "null", "%7B%7D", "0" * 26, "7" * 26, "Z" * 26,
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z",
    "2026-01-31T12:00:00", "2026-02-30", "0001-01-01", "9999-12-31", "W10", "WyJ4Il0", "WzEsMl0", "bnVsbA", "MTIzNDU2",
    "WyI5OTk5LTEyLTMxVDIzOjU5OjU5LjAwMFoiLCJcdTAwMDAiXQ",
)  # fmt: skip
WEBHOOKS = {
    "clerk_webhook_secrets": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "asaas_webhook_tokens": "token-of-the-tests",
}


@pytest.fixture(scope="module")
async def daemon(server: TestServer) -> AsyncIterator[Api]:
    """One daemon for all routes: nothing that is asked here may harm it."""
    name = await server.clone("ledger_template")
    async with Daemon(settings_for(server.url(name), **WEBHOOKS)).started() as running, Api.open(running) as api:
        assert (await api.post("/v1/users", {"clerkId": "odd"})).status == 201
        yield api
    await server.drop(name)


def targets(route: Route) -> list[str]:
    """The route with each value in each place of the path, and in each parameter of the query, and
    some that it does not take.
    """
    owner = "?user=clerk:odd" if "user" in route.query.names() else ""
    parts = [part for part in route.path.split("/") if part.startswith("{")]
    plain = route.path.replace("{user}", "clerk:odd").replace("{report}", "top-users")
    for part in parts:
        plain = plain.replace(part, "0" * 26)
    found = [f"{plain}?{name}={value}" for name in (*route.query.names(), "odd") for value in VALUES]
    found += [route.path.replace(part, value) + owner for part in parts for value in VALUES]
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_no_path_and_no_query_breaks_a_route(daemon: Api, route: Route) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": "odd"}
    broken = []
    for target in targets(route):
        url = URL(daemon.address + target, encoded=True)
        async with daemon.session.request(route.method, url, headers=headers, data=b"{}") as response:
            status, body = response.status, await response.read()
            kind = response.headers.get("Content-Type", "")
        if status >= 500 or (status >= 400 and kind != "application/problem+json"):
            broken.append((target[:120], status, body[:200]))
    assert broken == []
