"""The app's plans."""

from aiohttp import web

from pedro_ledger.api.app_rows import named, row_response, rows_page, sent_fields
from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import number_place_of
from pedro_ledger.api.http.reading import parse, query, query_bool, query_limit
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.schemas.app_requests import PlanBody, PlanChange


async def list_page(request: Request, context: Context) -> web.Response:
    """Plans by sortOrder: those on sale, unless `active` says otherwise (`true`, `false`, `any`)."""
    given = query(request, "active", "limit", "cursor")
    limit = query_limit(given)
    active = None if given.get("active") == "any" else query_bool({"active": given.get("active", "true")}, "active")
    rows = await context.plans.list_page(active, number_place_of(given), limit + 1)
    return rows_page(rows, limit, "sortOrder", "id")


async def read(request: Request, context: Context) -> web.Response:
    """One plan."""
    query(request)
    return row_response(await context.plans.read(named(request, "plan")), "plan")


async def create(request: Request, context: Context) -> web.Response:
    """Make a plan."""
    fields = sent_fields(parse(PlanBody, await context.json(request)))
    made = await context.plans.make(fields)
    await context.catalog.refresh_soon()
    return row_response(made, "plan", 201)


async def change(request: Request, context: Context) -> web.Response:
    """Change a plan; `{"active": false}` retires it."""
    fields = sent_fields(parse(PlanChange, await context.json(request)))
    changed = await context.plans.change(named(request, "plan"), fields)
    await context.catalog.refresh_soon()
    return row_response(changed, "plan")
