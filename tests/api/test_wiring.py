"""Each endpoint gets the parts that it names, of the types that it says."""

from typing import Any, get_type_hints

import pytest

from pedro_ledger.api.endpoints import credits, probes
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.routes import ROUTES, Route
from pedro_ledger.api.wiring import Parts, bound_routes, parts_of
from pedro_ledger.engine.engine import Engine
from tests.support.client import Api

PART_TYPES = get_type_hints(Parts)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_handler_asks_for_a_request_and_for_parts_that_there_are(route: Route[Any]) -> None:
    hints = get_type_hints(route.handler)
    first = next(iter(hints))
    assert (first, hints[first]) == ("request", Request)
    for name in parts_of(route.handler):
        assert hints[name] == PART_TYPES[name], name


def test_a_deduct_gets_the_engine_and_the_operation_types_and_nothing_else() -> None:
    hints = get_type_hints(credits.deduct)
    assert {name: hints[name] for name in parts_of(credits.deduct)} == {
        "engine": Engine,
        "operation_types": OperationTypes,
    }


def test_no_part_is_there_for_nobody() -> None:
    asked = {name for route in ROUTES for name in parts_of(route.handler)}
    assert asked == set(Parts._fields)


def test_handlers_that_ask_for_nothing_get_nothing() -> None:
    assert parts_of(probes.livez) == []


async def test_bound_handlers_take_the_request_alone(api: Api) -> None:
    bound = bound_routes(api.parts)
    assert [(route.method, route.path) for route in bound] == [(route.method, route.path) for route in ROUTES]
    deduct: Any = next(route.handler for route in bound if route.path.endswith("/deduct"))
    assert deduct.keywords == {"engine": api.parts.engine, "operation_types": api.parts.operation_types}
