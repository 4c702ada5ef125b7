"""Deliveries as Clerk and Asaas send them, signed with real secrets."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hmac import digest
from itertools import count
from time import time
from typing import Any

import orjson

from tests.support.client import Api, Reply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TOKEN = "asaas-token-0123456789-0123456789"
OLD_TOKEN = "asaas-token-of-before-0123456789"
SETTINGS: Mapping[str, Any] = {
    "clerk_webhook_secrets": f"{SECRET}, {OLD_SECRET}",
    "asaas_webhook_tokens": f"{TOKEN},{OLD_TOKEN}",
}
_numbers = count(1)


def milliseconds(text: str) -> int:
    """A day, or a time of one, in milliseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def svix_headers(event_id: str, body: bytes, *, at_s: float | None = None, secret: str = SECRET) -> dict[str, str]:
    timestamp = str(int(time() if at_s is None else at_s))
    signed = b"%s.%s.%s" % (event_id.encode(), timestamp.encode(), body)
    signature = b64encode(digest(b64decode(secret.removeprefix("whsec_")), signed, "sha256")).decode()
    return {"svix-id": event_id, "svix-timestamp": timestamp, "svix-signature": f"v1,{signature}"}


async def clerk(api: Api, event: Any, event_id: str | None = None, **more: Any) -> Reply:
    """Deliver an event as Clerk does."""
    raw = event if isinstance(event, bytes) else orjson.dumps(event)
    headers = svix_headers(event_id or f"msg_{next(_numbers)}", raw, **more)
    return await api.call("POST", "/v1/webhooks/clerk", raw=raw, auth=None, headers=headers)


async def asaas(api: Api, event: Any, token: str = TOKEN) -> Reply:
    """Deliver an event as Asaas does."""
    raw = event if isinstance(event, bytes) else orjson.dumps(event)
    return await api.call("POST", "/v1/webhooks/asaas", raw=raw, auth=None, headers={"asaas-access-token": token})


def clerk_user(kind: str, clerk_id: str, *, at: str = "2026-11-01", **changes: Any) -> dict[str, Any]:
    """user.created or user.updated, as Clerk's documentation shows them."""
    data = {
        "id": clerk_id,
        "object": "user",
        "first_name": "Ana",
        "last_name": "Souza",
        "username": None,
        "banned": False,
        "primary_email_address_id": "idn_1",
        "email_addresses": [
            {"id": "idn_0", "object": "email_address", "email_address": f"old-{clerk_id}@example.com"},
            {"id": "idn_1", "object": "email_address", "email_address": f"{clerk_id}@example.com"},
        ],
        "created_at": milliseconds("2026-11-01"),
        "updated_at": milliseconds(at),
        **changes,
    }
    return {"data": data, "object": "event", "type": f"user.{kind}", "timestamp": milliseconds(at)}


def clerk_gone(clerk_id: str, *, at: str) -> dict[str, Any]:
    data = {"deleted": True, "id": clerk_id, "object": "user"}
    return {"data": data, "object": "event", "type": "user.deleted", "timestamp": milliseconds(at)}


def clerk_item(
    clerk_id: str, status: str = "active", *, start: str = "2026-11-01", at: str | None = None, item: str = "csi_1",
    plan: str = "cplan_pro", amount: int = 4990,
) -> dict[str, Any]:  # fmt: skip
    """subscriptionItem.<status> of Clerk Billing."""
    kind = {"past_due": "pastDue"}.get(status, status)
    data = {
        "id": item,
        "object": "commerce_subscription_item",
        "status": status,
        "plan_id": plan,
        "plan": {"id": plan, "slug": "pro", "name": "Pro", "amount": amount, "is_default": amount == 0},
        "plan_period": "month",
        "payer": {"id": "cpayer_1", "user_id": clerk_id, "organization_id": None},
        "period_start": milliseconds(start),
        "period_end": milliseconds(start) + 30 * 86_400_000,
        "updated_at": milliseconds(at or start),
    }
    return {"data": data, "object": "event", "type": f"subscriptionItem.{kind}", "timestamp": milliseconds(at or start)}


def clerk_attempt(clerk_id: str, status: str, *, start: str = "2026-11-01", item: str = "csi_1") -> dict[str, Any]:
    """paymentAttempt.updated of Clerk Billing."""
    of = clerk_item(clerk_id, "incomplete", start=start, item=item)["data"]
    data = {
        "id": f"cpayatt_{next(_numbers)}",
        "object": "commerce_payment_attempt",
        "status": status,
        "payer": of["payer"],
        "charge_type": "recurring",
        "subscription_items": [of],
        "updated_at": milliseconds(start) + 1000,
    }
    return {"data": data, "object": "event", "type": "paymentAttempt.updated", "timestamp": milliseconds(start) + 1000}


def asaas_payment(
    kind: str, *, payment: str = "pay_1", subscription: str | None = "sub_1", at: str = "2026-11-01 10:00:00",
    reference: str | None = None, event_id: str | None = None, **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """PAYMENT_<kind>, as Asaas's documentation shows it."""
    what = {
        "object": "payment",
        "id": payment,
        "customer": "cus_000005219613",
        "subscription": subscription,
        "value": 49.9,
        "netValue": 47.91,
        "billingType": "CREDIT_CARD",
        "status": kind,
        "dueDate": "2026-11-01",
        "description": None,
        "externalReference": reference,
        **changes,
    }
    return {
        "id": event_id or f"evt_05b708f961d739ea7eba7e4db318f621&{next(_numbers)}",
        "event": f"PAYMENT_{kind}",
        "dateCreated": at,
        "payment": what,
    }


def asaas_subscription(
    kind: str, *, subscription: str = "sub_1", reference: str | None = None, at: str = "2026-11-01 09:00:00"
) -> dict[str, Any]:
    what = {
        "object": "subscription",
        "id": subscription,
        "customer": "cus_000005219613",
        "value": 49.9,
        "cycle": "MONTHLY",
        "description": "Pro",
        "status": "ACTIVE",
        "externalReference": reference,
    }
    event_id = f"evt_sub_{next(_numbers)}"
    return {"id": event_id, "event": f"SUBSCRIPTION_{kind}", "dateCreated": at, "subscription": what}
