"""Reports for operators."""

import re
from collections.abc import Mapping
from datetime import date

from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, query
from pedro_ledger.api.http.request import Request
from pedro_ledger.reports.catalogue import REPORTS, Asked
from pedro_ledger.reports.formats import TYPES, render

LIMIT_MAX = 10_000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def report(request: Request, context: Context) -> web.Response:
    """A report by name: user-growth, top-operations, low-balance, usage-by-day, top-users, liability."""
    name = request.path_values["report"]
    wanted = REPORTS.get(name)
    if wanted is None:
        raise Problem(404, "report_not_found", "No such report", f"The reports are {', '.join(sorted(REPORTS))}.")
    given = query(request, "format", *sorted(wanted.takes))
    form = given.get("format", "json")
    if form not in TYPES:
        raise invalid_query("format", "must be json, csv or ndjson")
    operation = given.get("operation")
    if operation is not None:
        context.require_operation_type(operation)
    asked = Asked(_day(given, "since"), _day(given, "until"), operation, _limit(given))
    rows = await wanted.rows(context.reports, asked)
    return web.Response(
        body=render(name, rows, form), content_type=TYPES[form], charset=None if form == "json" else "utf-8"
    )


def _day(given: Mapping[str, str], name: str) -> date | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text) is None:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise invalid_query(name, "must be a day of UTC such as 2026-01-31") from None


def _limit(given: Mapping[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LIMIT_MAX):
        raise invalid_query("limit", f"must be a whole number from 1 to {LIMIT_MAX}")
    return int(text)
