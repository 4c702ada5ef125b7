"""Query parameters: what each takes and refuses, and that every query belongs to a route."""

from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from pedro_ledger.api.routes import ROUTES
from pedro_ledger.api.schemas import queries
from pedro_ledger.api.schemas.cursors import cursor_of
from pedro_ledger.api.schemas.queries import Query
from pedro_ledger.reports.formats import TYPES

AT = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
TAKEN: list[tuple[type[Query], dict[str, str], str, Any]] = [
    (queries.PageQuery, {}, "limit", 20),
    (queries.PageQuery, {"limit": "1"}, "limit", 1),
    (queries.PageQuery, {"limit": "200"}, "limit", 200),
    (queries.BalanceQuery, {}, "at", None),
    (queries.BalanceQuery, {"at": "2026-01-31T12:00:00+02:00"}, "at", AT),
    (queries.SpanQuery, {"from": "2026-01-31T10:00:00Z"}, "since", AT),
    (queries.SpanQuery, {"to": "2026-01-31T10:00:00Z"}, "until", AT),
    (queries.UsersQuery, {"isActive": "false"}, "isActive", False),
    (queries.UsersQuery, {"email": ""}, "email", ""),
    (queries.StatementQuery, {}, "order", "asc"),
    (queries.StatementQuery, {"order": "desc"}, "order", "desc"),
    (queries.StatementQuery, {"cursor": cursor_of(7)}, "cursor", 7),
    (queries.UsageQuery, {"cursor": cursor_of(AT.replace(tzinfo=None), "u")}, "cursor", (AT.replace(tzinfo=None), "u")),
    (queries.PlansQuery, {"cursor": cursor_of(-5, "p")}, "cursor", (-5, "p")),
    (queries.PlansQuery, {}, "active", "true"),
    (queries.PurgeableQuery, {"deletedForDays": "0"}, "deletedForDays", 0),
    (queries.ReportQuery, {"since": "2026-01-31"}, "since", date(2026, 1, 31)),
    (queries.ReportQuery, {"limit": "10000"}, "limit", 10_000),
    (queries.OwnerQuery, {"user": "clerk:ana"}, "user", "clerk:ana"),
]
NO_NUMBERS = ("", "-1", "+1", "1.0", "1e1", "1_0", " 1", "٣", "9" * 30, "nan", "true")
NO_TIMES = ("", "2026-01-31", "2026-01-31T12:00:00", "yesterday", "0001-01-01T00:00:00+23:59", "1769860800")
NO_CURSORS = (
    "", "x", "%", "é", "bnVsbA", cursor_of(), cursor_of(True), cursor_of("a", "\0"), cursor_of("2026-01-31T12:00:00Z", "id"),
    cursor_of(2**31, "id"), cursor_of(-1), cursor_of(2**62), cursor_of(1.5), cursor_of("a"), cursor_of(1, "id", 2), cursor_of([1]),
)  # fmt: skip
REFUSED: list[tuple[type[Query], str, tuple[str, ...]]] = [
    (queries.PageQuery, "limit", ("0", "201", *NO_NUMBERS)),
    (queries.ReportQuery, "limit", ("0", "10001", *NO_NUMBERS)),
    (queries.PurgeableQuery, "deletedForDays", ("100000", *NO_NUMBERS)),
    (queries.BalanceQuery, "at", NO_TIMES),
    (queries.SpanQuery, "from", NO_TIMES),
    (queries.SpanQuery, "to", NO_TIMES),
    (queries.ReportQuery, "until", ("", "2026-02-30", "2026-1-1", "20260131", "2026-W05-6", "2026-01-31T00:00:00Z")),
    (queries.UsersQuery, "isActive", ("", "True", "1", "yes")),
    (queries.ForceQuery, "force", ("1", "yes", "True")),
    (queries.StatementQuery, "order", ("", "ASC", "up")),
    (queries.PlansQuery, "active", ("", "True", "all")),
    (queries.DeliveriesQuery, "state", ("", "pending", "applied")),
    (queries.ReportQuery, "format", ("", "JSON", "xml")),
    (queries.OwnerQuery, "user", ("", "x" * 256)),
    (queries.TimedPageQuery, "cursor", (*NO_CURSORS, cursor_of(1), cursor_of(1, "id"))),
    (queries.PlansQuery, "cursor", (*NO_CURSORS, cursor_of(1), cursor_of(AT.replace(tzinfo=None), "id"))),
    (queries.StatementQuery, "cursor", (*NO_CURSORS, cursor_of(1, "id"), cursor_of(AT.replace(tzinfo=None), "id"))),
]


@pytest.mark.parametrize(("model", "given", "name", "value"), TAKEN)
def test_what_a_parameter_takes(model: type[Query], given: dict[str, str], name: str, value: Any) -> None:
    found = getattr(model.model_validate(given), name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("model", "name", "text"), [(model, name, text) for model, name, texts in REFUSED for text in texts]
)
def test_what_a_parameter_refuses_it_refuses_in_words_that_read_on(model: type[Query], name: str, text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({name: text})
    (error,) = refused.value.errors()
    assert error["loc"] == (name,)
    assert error["type"] == "literal_error" or error["msg"].startswith("must be ")


def test_the_forms_of_a_report_are_those_that_there_are() -> None:
    assert get_args(queries.ReportQuery.model_fields["format"].annotation) == tuple(TYPES)


def test_each_query_is_of_a_route() -> None:
    used = {base for route in ROUTES for base in route.query.__mro__}
    defined = [each for each in vars(queries).values() if isinstance(each, type) and issubclass(each, Query)]
    assert [each for each in defined if each not in used] == []
