"""Rows of the app's own tables: which one a path names, and how they go over the wire."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pedro_ledger.api.http.paging import keyset_page
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, page
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.scalars import Time
from pedro_ledger.ledger.times import time_text

A = TypeVar("A")
AppRow = Mapping[str, Any]


def row_id(request: Request, what: str) -> str:
    """The id of a `what` in the path.

    Raises the problem 404 `<what>_not_found` for an id that no column can hold.
    """
    found = request.path_values[what.rsplit(maxsplit=1)[-1]]
    if "\0" in found:
        raise _not_found(what)
    return found


def row_json(kind: type[A], row: AppRow) -> A:
    """A row as `kind` describes it.

    The columns have the names of the fields; those that `kind` declares as times become RFC 3339.
    """
    times = _times(cast(Hashable, kind))
    values = {
        name: time_text(datetime.fromisoformat(value)) if name in times and value is not None else value
        for name, value in row.items()
    }
    return cast(A, values)


def row_response(kind: type[A], row: AppRow | None, what: str, status: int = 200) -> Response[A]:
    """One row. Raises the problem 404 `<what>_not_found` where there is none."""
    if row is None:
        raise _not_found(what)
    return json_response(row_json(kind, row), status)


def rows_page(kind: type[A], rows: Sequence[AppRow], limit: int, *sorted_by: str) -> Response[Page[A]]:
    """A page of rows that are sorted by these columns.

    There is one row more than `limit` where a page follows.
    """
    shown, next_cursor = keyset_page(rows, limit, lambda row: tuple(row[name] for name in sorted_by))
    return page([row_json(kind, row) for row in shown], next_cursor)


@cache
def _times(kind: Hashable) -> frozenset[str]:
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _is_time(hint))


def _is_time(hint: Any) -> bool:
    return hint == Time or any(_is_time(part) for part in get_args(hint))


def _not_found(what: str) -> Problem:
    return Problem(404, f"{what.replace(' ', '_')}_not_found", f"No such {what}", f"There is no such {what}.")
