"""The route table is whole, and says the same wherever it is read."""

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from pedro_ledger.api.openapi import describe
from pedro_ledger.api.routes import PUBLIC, ROUTES, Route, Scope
from pedro_ledger.api.schemas.queries import NoQuery
from tests.support.client import Api


def identity(route: Route[Any]) -> str:
    return f"{route.method} {route.path}"


def test_no_route_is_there_twice() -> None:
    assert len({identity(route) for route in ROUTES}) == len(ROUTES)
    assert len({(route.handler.__module__, route.handler.__name__) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=identity)
def test_a_route_is_described_and_consistent(route: Route[Any]) -> None:
    assert re.fullmatch(r"[A-Z].*[.`)]", route.summary)
    assert route.answer is not None
    if route.moves_credits:
        assert route.method == "POST"
        assert route.body is not None
        assert 404 in route.refusals, "there may be no such user"
    if route.customers:
        assert route.scope is Scope.READ, "customers change nothing"
        assert "{user}" in route.path or "user" in route.query.names(), "a customer sees their own things only"
    if route.body is not None:
        assert route.method in {"POST", "PATCH", "PUT"}


def test_what_is_not_said_has_the_harmless_default() -> None:
    route = Route("GET", "/x", ROUTES[0].handler, Scope.READ, answer=str)
    assert (route.statuses, route.refusals, route.query.names(), route.body) == ((200,), (), [], None)
    assert not route.customers
    assert not route.moves_credits
    with pytest.raises(FrozenInstanceError):
        route.scope = Scope.ADMIN  # type: ignore[misc]


LENIENT = {"GET /v1/users/{user}"}
"""It takes no parameter, and has always let any pass."""


async def test_a_route_takes_the_parameters_that_are_described_and_no_others(api: Api) -> None:
    described = describe()["paths"]
    user = await api.user(100)
    for route in ROUTES:
        found = described[route.path][route.method.lower()]["parameters"]
        assert [each["name"] for each in found if each["in"] == "query"] == route.query.names(), identity(route)
        is_write = route.method not in {"GET", "DELETE"} and route.query is NoQuery
        if is_write or route.scope is PUBLIC or identity(route) in LENIENT:
            assert route.query.names() == []
            continue
        path = route.path.replace("{user}", user).replace("{report}", "top-users").replace("{export}", "entries")
        for query in (
            "?odd=1",
            *(f"?{name}=a%00b" for name in route.query.names()),
            *(f"?{name}=1&{name}=1" for name in route.query.names()),
        ):
            reply = await api.call(route.method, path + query)
            assert (reply.status, reply.code) == (400, "invalid_query"), f"{identity(route)}{query}"
            if query == "?odd=1":
                taken = ", ".join(route.query.names()) or "none"
                assert reply.json["detail"] == f"odd is not a parameter of this call; it takes {taken}."
