"""Keyset pagination: cursors name rows, so that pages stay stable while rows are added."""

from datetime import datetime
from typing import Any

import pytest

from pedro_ledger.api.http.paging import cursor_of, keyset_page, number_place_of, place_of, seq_of
from pedro_ledger.api.http.problems import Problem

ROWS = [{"id": f"r{number}", "sortOrder": number // 2} for number in range(5)]


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["sortOrder"], row["id"]


def rows_after(cursor: str | None, limit: int) -> list[dict[str, Any]]:
    """What a store answers: up to one row more than the page has."""
    after = number_place_of({} if cursor is None else {"cursor": cursor})
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
        assert number_place_of({"cursor": cursor}) == place(found[-1]), "it names the last row that was shown"


def test_each_kind_of_cursor_is_read_back_as_it_was_made() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 123456)  # noqa: DTZ001 - as the columns of the app have them
    assert place_of({"cursor": cursor_of(moment, "id")}) == (moment, "id")
    assert number_place_of({"cursor": cursor_of(-5, "id")}) == (-5, "id")
    assert seq_of({"cursor": cursor_of(7)}) == 7
    assert place_of({}) is number_place_of({}) is seq_of({}) is None


@pytest.mark.parametrize("read", [place_of, number_place_of, seq_of])
@pytest.mark.parametrize(
    "text",
    ["", "x", "%", "bnVsbA", cursor_of(), cursor_of(True), cursor_of("a", "\0"), cursor_of("2026-01-31T12:00:00Z", "id"),
     cursor_of(2**31, "id"), cursor_of(-1), cursor_of(1, 2), cursor_of("a"), cursor_of(1, "id", 2)],
)  # fmt: skip
def test_what_no_page_gave_is_refused(read: Any, text: str) -> None:
    with pytest.raises(Problem) as refused:
        read({"cursor": text})
    assert (refused.value.status, refused.value.code, refused.value.facts) == (
        400,
        "invalid_query",
        {"field": "cursor"},
    )
