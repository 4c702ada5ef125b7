"""What the calls about the app's own tables have in common: rows on the wire, pages of them, whose they are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import cursor_of
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, refuse_unstorable
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import json_response, page
from pedro_ledger.api.schemas.requests import Body
from pedro_ledger.ledger.times import time_text

AppRow = Mapping[str, Any]


def row_json(row: AppRow) -> dict[str, Any]:
    """A row as the app's schema names it; columns that end in `At` are times."""
    return {
        name: time_text(datetime.fromisoformat(value)) if name.endswith("At") and value is not None else value
        for name, value in row.items()
    }


def row_response(row: AppRow | None, what: str, status: int = 200) -> web.Response:
    """One row. Raises the problem 404 `<what>_not_found` where there is none."""
    if row is None:
        raise _not_found(what)
    return json_response(row_json(row), status)


def _not_found(what: str) -> Problem:
    return Problem(404, f"{what.replace(' ', '_')}_not_found", f"No such {what}", f"There is no such {what}.")


def named(request: Request, what: str) -> str:
    """The id of a `what` in the path. Raises the problem 404 `<what>_not_found` for what no column holds, so no row has it."""
    row_id = request.path_values[what.rsplit(maxsplit=1)[-1]]
    if "\0" in row_id:
        raise _not_found(what)
    return row_id


def rows_page(rows: list[Any], limit: int, *sorted_by: str) -> web.Response:
    """A page of `limit` rows out of up to one more; the cursor is the last one's place in the order."""
    more = cursor_of(*(rows[limit - 1][name] for name in sorted_by)) if len(rows) > limit else None
    return page([row_json(row) for row in rows[:limit]], more)


def sent_fields(body: Body) -> dict[str, Any]:
    """What a body names, null included. Raises the problem 422 for text that no column holds."""
    fields = body.model_dump(include=body.model_fields_set)
    for name, value in fields.items():
        refuse_unstorable(value, name)
    return fields


async def owner(request: Request, context: Context, given: Mapping[str, str]) -> str:
    """The id of the user that `?user=` names, or whose own token it is. Raises the problem 400, and `UserNotFound`."""
    if request.caller.customer is not None:  # the door has seen that `user` is nobody else
        return await context.user_id(f"clerk:{request.caller.customer}")
    ref = given.get("user", "")
    if not 1 <= len(ref) <= 255:
        raise invalid_query("user", "is needed: the owner's id, or clerk: and the Clerk id")
    return await context.user_id(ref)
