"""The app's plans."""

from pedro_ledger.api.http.reading import parse, query, read_json, sent_fields
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import row_id, row_response, rows_page
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_answers import Plan
from pedro_ledger.api.schemas.app_requests import PlanBody, PlanChange
from pedro_ledger.api.schemas.queries import NoQuery, PlansQuery
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.app.price_refresher import PriceRefresher


async def list_page(request: Request, plans: PlanStore) -> Response[Page[Plan]]:
    """Plans by sortOrder: those on sale, unless `active` says otherwise."""
    given = query(request, PlansQuery)
    active = None if given.active == "any" else given.active == "true"
    rows = await plans.list_page(active, given.cursor, given.limit + 1)
    return rows_page(Plan, rows, given.limit, "sortOrder", "id")


async def read(request: Request, plans: PlanStore) -> Response[Plan]:
    """One plan."""
    query(request, NoQuery)
    return row_response(Plan, await plans.read(row_id(request, "plan")), "plan")


async def create(request: Request, plans: PlanStore, prices: PriceRefresher) -> Response[Plan]:
    """Make a plan."""
    fields = sent_fields(parse(PlanBody, await read_json(request)))
    made = await plans.make(fields)
    await prices.refresh_soon()
    return row_response(Plan, made, "plan", 201)


async def change(request: Request, plans: PlanStore, prices: PriceRefresher) -> Response[Plan]:
    """Change a plan; `{"active": false}` retires it."""
    fields = sent_fields(parse(PlanChange, await read_json(request)))
    changed = await plans.change(row_id(request, "plan"), fields)
    await prices.refresh_soon()
    return row_response(Plan, changed, "plan")
