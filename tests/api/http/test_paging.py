"""Keyset pagination: cursors name rows, so that pages stay stable while rows are added."""

from typing import Any

import pytest

from pedro_ledger.api.http.paging import keyset_page
from pedro_ledger.api.schemas.queries import PlansQuery

ROWS = [{"id": f"r{number}", "sortOrder": number // 2} for number in range(5)]


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["sortOrder"], row["id"]


def rows_after(cursor: str | None, limit: int) -> list[dict[str, Any]]:
    """What a store answers: up to one row more than the page has."""
    after = PlansQuery.model_validate({} if cursor is None else {"cursor": cursor}).cursor
    return [row for row in ROWS if after is None or place(row) > after][: limit + 1]


@pytest.mark.parametrize("limit", range(1, 7))
def test_pages_of_any_size_hold_each_row_once_in_order(limit: int) -> None:
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(len(ROWS) + 1):
        shown, cursor = keyset_page(rows_after(cursor, limit), limit, place)
        assert len(shown) <= limit
        seen += shown
        if cursor is None:
            break
    assert seen == ROWS


@pytest.mark.parametrize(("rows", "shown", "more"), [(0, 0, False), (1, 1, False), (2, 2, False), (3, 2, True)])
def test_a_cursor_is_there_exactly_when_rows_follow(rows: int, shown: int, more: bool) -> None:
    found, cursor = keyset_page(ROWS[:rows], 2, place)
    assert (len(found), cursor is not None) == (shown, more)
    if cursor is not None:
        asked = PlansQuery.model_validate({"cursor": cursor})
        assert asked.cursor == place(found[-1]), "it names the last row that was shown"
