"""The route table is whole, and says the same wherever it is read."""

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from pedro_ledger.api.routes import ROUTES, Route, Scope


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
        assert "{user}" in route.path or "user" in route.query, "a customer sees their own things only"
    if route.body is not None:
        assert route.method in {"POST", "PATCH", "PUT"}


def test_what_is_not_said_has_the_harmless_default() -> None:
    route = Route("GET", "/x", ROUTES[0].handler, Scope.READ, answer=str)
    assert (route.statuses, route.refusals, route.query, route.body) == ((200,), (), (), None)
    assert not route.customers
    assert not route.moves_credits
    with pytest.raises(FrozenInstanceError):
        route.scope = Scope.ADMIN  # type: ignore[misc]
