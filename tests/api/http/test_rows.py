"""Rows of the app's tables as answers: the answer's type says which columns are times."""

from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field
from typing_extensions import TypedDict

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.rows import row_json, row_response, rows_page
from pedro_ledger.api.schemas.scalars import Time


class Thing(TypedDict):
    id: str
    made: Time
    endedAt: Annotated[Time | None, Field(description="Perhaps.")]
    format: str


ROW: dict[str, Any] = {"id": "1", "made": "2026-01-31T12:00:00", "endedAt": None, "format": "2026-01-31T12:00:00"}


def test_columns_that_the_type_calls_times_are_told_in_rfc_3339_and_no_others() -> None:
    made = "2026-01-31T12:00:00.000Z"
    assert row_json(Thing, ROW) == ROW | {"made": made}
    assert row_json(Thing, ROW | {"endedAt": "2026-01-31T12:00:00.5"})["endedAt"] == "2026-01-31T12:00:00.500Z"


def test_the_order_of_columns_and_what_the_app_added_stay() -> None:
    row = {"extra": {"a": 1}, **ROW}
    assert list(row_json(Thing, row)) == list(row)


def test_a_row_that_is_not_there_is_404() -> None:
    with pytest.raises(Problem) as missing:
        row_response(Thing, None, "storage object")
    assert (missing.value.status, missing.value.code) == (404, "storage_object_not_found")


def test_a_page_ends_where_its_last_row_stands() -> None:
    body = rows_page(Thing, [ROW, ROW | {"id": "2"}], 1, "made", "id").body
    assert isinstance(body, bytes)
    page = orjson.loads(body)
    assert [each["id"] for each in page["items"]] == ["1"]
    assert page["nextCursor"] is not None
