"""Webhook deliveries that could not be applied."""

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import place_of
from pedro_ledger.api.http.reading import invalid_query, query, query_limit
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import rows_page
from pedro_ledger.api.schemas.answers import Page, WebhookDelivery
from pedro_ledger.store.billing.inbox import State

LISTED = {"waiting": State.WAITING, "rejected": State.REJECTED}


async def list_page(request: Request, context: Context) -> Response[Page[WebhookDelivery]]:
    """Deliveries that wait or were rejected, newest first, each with its reason."""
    given = query(request, "state", "limit", "cursor")
    limit = query_limit(given)
    state = LISTED.get(given["state"]) if "state" in given else None
    if "state" in given and state is None:
        raise invalid_query("state", "must be waiting or rejected")
    rows = await context.webhooks.deliveries.list_page(state, place_of(given), limit + 1)
    return rows_page(WebhookDelivery, rows, limit, "receivedAt", "id")
