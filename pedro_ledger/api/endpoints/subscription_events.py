"""What happened to subscriptions."""

from pedro_ledger.api.http.reading import parse, query, read_json, sent_fields
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import row_response, rows_page
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_answers import SubscriptionEvent
from pedro_ledger.api.schemas.app_requests import SubscriptionEventBody
from pedro_ledger.api.schemas.queries import SubscriptionEventsQuery
from pedro_ledger.ledger.times import without_zone
from pedro_ledger.store.app.subscription_events import SubscriptionEventStore


async def list_page(request: Request, subscription_events: SubscriptionEventStore) -> Response[Page[SubscriptionEvent]]:
    """Subscription events, newest first: of one Clerk id, or of all."""
    given = query(request, SubscriptionEventsQuery)
    rows = await subscription_events.list_page(given.clerkUserId, given.cursor, given.limit + 1)
    return rows_page(SubscriptionEvent, rows, given.limit, "occurredAt", "id")


async def create(request: Request, subscription_events: SubscriptionEventStore) -> Response[SubscriptionEvent]:
    """Append a subscription event.

    It is a record only: credits of a plan come through the webhooks, or a grant.
    """
    body = parse(SubscriptionEventBody, await read_json(request))
    sent_fields(body)
    made = await subscription_events.make(
        body.clerkUserId,
        plan_key=body.planKey,
        status=body.status,
        event_type=body.eventType,
        occurred_at=without_zone(body.occurredAt),
        metadata=body.metadata,
    )
    return row_response(SubscriptionEvent, made, "event", 201)
