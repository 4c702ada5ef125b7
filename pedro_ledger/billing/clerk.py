"""Reads Clerk's events: users, and Clerk Billing's subscriptions, items and payment attempts.

The shapes are those of `UserJSON` and `Billing…WebhookEventJSON` in `@clerk/backend`. Times are
milliseconds since 1970.
"""

from datetime import datetime, timedelta
from typing import Any

from pedro_ledger.ledger.billing import (
    IGNORED,
    UNREADABLE,
    Billing,
    Delivery,
    Effect,
    PaymentEvent,
    PeriodEvent,
    UserDeleted,
    UserUpserted,
    object_of,
    objects_of,
    storable,
    text_of,
    time_of_ms,
)

PROVIDER = "clerk"
NAME_LENGTH_MAX = 500
EMAIL_LENGTH_MAX = 320
PERIOD_MIN = timedelta(days=1)
"""Of a billing period whose end is not told."""


def read_event(event_id: str, body: dict[str, Any], received_at: datetime) -> Delivery | None:
    """What an event says; None where it has no `type` and `data`, so that it is none of Clerk's."""
    event_type, data = text_of(body, "type"), body.get("data")
    if event_type is None or not isinstance(data, dict):
        return None
    payload = storable(body)
    data = payload["data"]
    occurred_at = time_of_ms(data.get("updated_at")) or time_of_ms(payload.get("timestamp")) or received_at
    if event_type.startswith("user."):
        effect, subject = _user(event_type, data), text_of(data, "id")
    elif event_type.startswith(("subscription.", "subscriptionItem.", "paymentAttempt.")):
        effect = _billing(event_type, data)
        subject = effect.customer if isinstance(effect, Billing) else None
    else:
        effect, subject = IGNORED, None
    return Delivery(PROVIDER, event_id, event_type, subject, occurred_at, effect, payload)


def read_user(data: dict[str, Any]) -> UserUpserted | None:
    """A user as Clerk's API, webhooks and exports write one; None where there is no id."""
    clerk_id = text_of(data, "id")
    if clerk_id is None:
        return None
    parts = [part for name in ("first_name", "last_name") if isinstance(part := data.get(name), str)]
    name = " ".join(" ".join(parts).split()) or text_of(data, "username")
    return UserUpserted(
        clerk_id, _email(data), name[:NAME_LENGTH_MAX] if name else None, data.get("banned") is not True
    )


def _user(event_type: str, data: dict[str, Any]) -> Effect:
    if event_type in {"user.created", "user.updated"}:
        return read_user(data) or UNREADABLE
    if event_type == "user.deleted":
        clerk_id = text_of(data, "id")
        return UserDeleted(clerk_id) if clerk_id is not None else UNREADABLE
    return IGNORED


def _email(data: dict[str, Any]) -> str | None:
    """The primary address, else the first; exports name it flatly."""
    addresses = objects_of(data, "email_addresses")
    primary = data.get("primary_email_address_id")
    chosen = [each for each in addresses if primary is not None and each.get("id") == primary] or addresses[:1]
    found = chosen[0].get("email_address") if chosen else data.get("primary_email_address")
    if isinstance(found, str) and 3 <= len(found) <= EMAIL_LENGTH_MAX and "@" in found and found.isprintable():
        return found
    return None


def _billing(event_type: str, data: dict[str, Any]) -> Effect:
    payer = object_of(data, "payer")
    user = text_of(payer, "user_id") or text_of(data, "user_id")
    if user is None and text_of(payer, "organization_id") is not None:
        return IGNORED  # credits belong to users, and an organisation is none
    subscription, status = text_of(data, "id"), text_of(data, "status")
    if user is None or subscription is None or status is None:
        return UNREADABLE
    if event_type.startswith("subscriptionItem."):
        items, current = [data], data
    else:
        items = objects_of(data, "items") or objects_of(data, "subscription_items")
        current = min(items, key=_rank, default={})
    told: dict[str, Any] = {}
    if event_type.startswith("paymentAttempt."):
        # An attempt names the items that it pays for, whatever their status was when it was made.
        items = [item | {"status": "active"} for item in items] if status == "paid" else []
        told = object_of(object_of(data, "totals"), "grand_total") if len(items) == 1 else {}
    periods: dict[bool | None, list[PeriodEvent]] = {True: [], False: [], None: []}
    for item in items:
        period = _period(item)
        if period is not None:
            periods[_is_paid(item, told)].append(period)
    return Billing(
        subscription, user, (user,), _plan(current), status, tuple(periods[True]), doubtful=tuple(periods[None])
    )


def _rank(item: dict[str, Any]) -> int:
    """The item that says which plan a subscription is on comes first."""
    order = ("active", "past_due", "canceled")
    status = item.get("status")
    return order.index(status) if status in order else len(order)


def _plan(item: dict[str, Any]) -> tuple[str, ...]:
    plan = object_of(item, "plan")
    found = (text_of(item, "plan_id"), text_of(plan, "id"), text_of(plan, "slug"), text_of(plan, "name"))
    return tuple(dict.fromkeys(key for key in found if key is not None))


def _period(item: dict[str, Any]) -> PeriodEvent | None:
    """The billing period that an item says has begun, called by the day on which it starts."""
    item_id, start = text_of(item, "id"), time_of_ms(item.get("period_start"))
    if item.get("status") != "active" or item_id is None or start is None:
        return None
    end = time_of_ms(item.get("period_end"))
    if end is None or end <= start:
        end = start + PERIOD_MIN
    return PeriodEvent(item_id, start.date().isoformat(), _plan(item), PaymentEvent.PAID, start, end)


def _is_paid(item: dict[str, Any], told: dict[str, Any]) -> bool | None:
    """Whether an active item is paid for; None where nothing tells what it costs. `told`: what its
    payment came to.

    Clerk makes an item of a plan with a price active when its charge succeeded. Free plans and
    trials are not paid.
    """
    plan = object_of(item, "plan")
    if plan.get("is_default") is True or item.get("is_free_trial") is True:
        return False
    amounts = (_amount(item.get("amount")), _amount(plan.get("amount")), _amount(plan.get("fee_amount")), _amount(told))
    amount = next((amount for amount in amounts if amount is not None), None)
    return None if amount is None else amount > 0


def _amount(value: Any) -> float | None:
    """What something costs, in cents; some events tell it with its currency, some plainly.

    None for anything else.
    """
    amount: Any = value.get("amount") if isinstance(value, dict) else value
    is_number = isinstance(amount, int | float) and not isinstance(amount, bool)
    return amount if is_number and amount >= 0 else None
