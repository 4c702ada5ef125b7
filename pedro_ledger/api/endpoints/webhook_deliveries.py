"""Webhook deliveries that could not be applied."""

from pedro_ledger.api.http.reading import query
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import rows_page
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.operator_answers import WebhookDelivery
from pedro_ledger.api.schemas.queries import DeliveriesQuery
from pedro_ledger.store.billing.deliveries import DeliveryDesk
from pedro_ledger.store.billing.inbox import State


async def list_page(request: Request, deliveries: DeliveryDesk) -> Response[Page[WebhookDelivery]]:
    """Deliveries that wait or were rejected, newest first, each with its reason."""
    given = query(request, DeliveriesQuery)
    state = State(given.state) if given.state is not None else None
    rows = await deliveries.list_page(state, given.cursor, given.limit + 1)
    return rows_page(WebhookDelivery, rows, given.limit, "receivedAt", "id")
