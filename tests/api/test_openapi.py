"""The description of the API: what clients and their generators read in it."""

import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from pedro_ledger.api.openapi import describe
from pedro_ledger.api.routes import PUBLIC, ROUTES
from pedro_ledger.reports.catalogue import REPORTS
from pedro_ledger.reports.formats import TYPES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe()


def test_it_is_valid_and_has_every_route(document: dict[str, Any]) -> None:
    validate(document)
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_schema_is_used(document: dict[str, Any]) -> None:
    text = repr(document)
    unused = [name for name in document["components"]["schemas"] if f"#/components/schemas/{name}'" not in text]
    assert unused == []


def test_names_that_generated_clients_know_stay(document: dict[str, Any]) -> None:
    known = {
        "Problem", "Receipt", "Result", "Results", "Balance", "Usage", "UsagePage", "Entry", "StatementPage", "EntryInFull",
        "Proof", "CreditBalance", "User", "UserPage", "Report", "WebhookTaken", "Plan", "PlanPage", "Feature", "FeaturePage",
        "AdminSettings", "StorageObject", "StoragePage", "StorageTotals", "SubscriptionEvent", "SubscriptionEventPage", "Health",
        "Readiness", "DeductBody", "RefundBody", "GrantBody", "BatchBody", "UserBody", "UserChange",
    }  # fmt: skip
    assert known <= set(document["components"]["schemas"])


def test_what_may_be_null_is_said_in_one_type(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["Balance"]["properties"]
    assert fields["updatedAt"]["type"] == ["string", "null"]
    assert fields["updatedAt"]["format"] == "date-time"
    user = document["components"]["schemas"]["User"]["properties"]["creditBalance"]
    assert user == {"anyOf": [{"$ref": "#/components/schemas/CreditBalance"}, {"type": "null"}]}


def test_a_report_has_its_names_and_forms(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/reports/{report}"]["get"]
    by_name = {each["name"]: each for each in operation["parameters"]}
    assert by_name["report"]["schema"]["enum"] == [*REPORTS]
    assert by_name["format"]["schema"]["enum"] == [*TYPES]
    assert by_name["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 10_000}
    assert set(operation["responses"]["200"]["content"]) == set(TYPES.values())


def test_a_parameter_that_is_left_out_is_not_null(document: dict[str, Any]) -> None:
    for route in ROUTES:
        for each in document["paths"][route.path][route.method.lower()]["parameters"]:
            assert "null" not in repr(each["schema"]), each
            assert each["schema"].get("default", 0) is not None


def test_every_call_says_who_may_make_it(document: dict[str, Any]) -> None:
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        if route.scope is PUBLIC:
            assert operation["security"] == []
        else:
            assert f"`{route.scope}`" in operation["description"]
        assert ("customer" in repr(operation["security"])) is route.customers
        assert re.fullmatch(r"[a-z_]+", operation["operationId"])
