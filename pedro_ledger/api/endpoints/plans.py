"""The app's plans."""

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.reading import parse, query, sent_fields
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import row_id, row_response, rows_page
from pedro_ledger.api.schemas.answers import Page, Plan
from pedro_ledger.api.schemas.app_requests import PlanBody, PlanChange
from pedro_ledger.api.schemas.queries import NoQuery, PlansQuery


async def list_page(request: Request, context: Context) -> Response[Page[Plan]]:
    """Plans by sortOrder: those on sale, unless `active` says otherwise (`true`, `false`, `any`)."""
    given = query(request, PlansQuery)
    active = None if given.active == "any" else given.active == "true"
    rows = await context.plans.list_page(active, given.cursor, given.limit + 1)
    return rows_page(Plan, rows, given.limit, "sortOrder", "id")


async def read(request: Request, context: Context) -> Response[Plan]:
    """One plan."""
    query(request, NoQuery)
    return row_response(Plan, await context.plans.read(row_id(request, "plan")), "plan")


async def create(request: Request, context: Context) -> Response[Plan]:
    """Make a plan."""
    fields = sent_fields(parse(PlanBody, await context.json(request)))
    made = await context.plans.make(fields)
    await context.catalog.refresh_soon()
    return row_response(Plan, made, "plan", 201)


async def change(request: Request, context: Context) -> Response[Plan]:
    """Change a plan; `{"active": false}` retires it."""
    fields = sent_fields(parse(PlanChange, await context.json(request)))
    changed = await context.plans.change(row_id(request, "plan"), fields)
    await context.catalog.refresh_soon()
    return row_response(Plan, changed, "plan")
