"""Users' files, as the app tracks them. Each call names the owner, and sees only that owner's files."""

from aiohttp import web

from pedro_ledger.api.app_rows import named, owner, row_response, rows_page, sent_fields
from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import place_of
from pedro_ledger.api.http.reading import invalid_query, parse, query, query_limit, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import json_response
from pedro_ledger.api.schemas.app_requests import StorageBody

_WHAT = "storage object"


async def track(request: Request, context: Context) -> web.Response:
    """Note a file of a user."""
    body = parse(StorageBody, await context.json(request))
    sent_fields(body)
    made = await context.storage.track(
        await context.user_id(body.user),
        provider=body.provider,
        url=body.url,
        pathname=body.pathname,
        name=body.name,
        content_type=body.contentType,
        size=body.size,
    )
    return row_response(made, "user", 201)


async def list_page(request: Request, context: Context) -> web.Response:
    """A user's files, newest first, without the deleted."""
    given = query(request, "user", "limit", "cursor")
    limit = query_limit(given)
    rows = await context.storage.list_page(await owner(request, context, given), place_of(given), limit + 1)
    return rows_page(rows, limit, "createdAt", "id")


async def read(request: Request, context: Context) -> web.Response:
    """One file of a user."""
    user_id = await owner(request, context, query(request, "user"))
    return row_response(await context.storage.read(user_id, named(request, _WHAT)), _WHAT)


async def delete(request: Request, context: Context) -> web.Response:
    """Mark a user's file as deleted; whoever purges it finds it in the purge list."""
    user_id = await owner(request, context, query(request, "user"))
    return row_response(await context.storage.delete(user_id, named(request, _WHAT)), _WHAT)


async def purgeable(request: Request, context: Context) -> web.Response:
    """Files of all users that were deleted more than `deletedForDays` days ago (30 unless told), first deleted first."""
    given = query(request, "deletedForDays", "limit", "cursor")
    days = given.get("deletedForDays", "30")
    if not (days.isascii() and days.isdigit() and len(days) <= 5):
        raise invalid_query("deletedForDays", "must be a whole number of days, at most 99999")
    limit = query_limit(given)
    return rows_page(await context.storage.purgeable(int(days), place_of(given), limit + 1), limit, "deletedAt", "id")


async def totals(request: Request, context: Context) -> web.Response:
    """How many files a user has, and bytes in all; the deleted apart."""
    query(request)
    return json_response(await context.storage.totals(await context.user_id(user_ref(request))))
