"""What happened to subscriptions."""

from datetime import UTC, datetime

from aiohttp import web

from pedro_ledger.api.app_rows import row_response, rows_page, sent_fields
from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import place_of
from pedro_ledger.api.http.reading import parse, query, query_limit, query_time
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.schemas.app_requests import SubscriptionEventBody


async def list_page(request: Request, context: Context) -> web.Response:
    """Subscription events, newest first: of one Clerk id, or of all."""
    given = query(request, "clerkUserId", "limit", "cursor")
    limit = query_limit(given)
    rows = await context.subscription_events.list_page(given.get("clerkUserId"), place_of(given), limit + 1)
    return rows_page(rows, limit, "occurredAt", "id")


async def create(request: Request, context: Context) -> web.Response:
    """Append a subscription event. It is a record only: credits of a plan come through the webhooks, or a grant."""
    body = parse(SubscriptionEventBody, await context.json(request))
    sent_fields(body)
    occurred_at: datetime | None = (
        query_time({"occurredAt": body.occurredAt}, "occurredAt") if body.occurredAt else None
    )
    made = await context.subscription_events.make(
        body.clerkUserId,
        plan_key=body.planKey,
        status=body.status,
        event_type=body.eventType,
        occurred_at=occurred_at and occurred_at.astimezone(UTC).replace(tzinfo=None),
        metadata=body.metadata,
    )
    return row_response(made, "event", 201)
