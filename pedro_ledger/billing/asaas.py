"""Reads Asaas's events: payments of subscriptions, and the subscriptions themselves.

The shapes are those of https://docs.asaas.com/docs/webhook-para-cobrancas and
…/docs/subscription-events. A billing period is one charge: Asaas makes one for each cycle of a
subscription, with an id that stays through confirmation, refund and dispute.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from hashlib import sha256
from typing import Any, NamedTuple

from pedro_ledger.ledger.billing import (
    IGNORED,
    UNREADABLE,
    Billing,
    Delivery,
    Effect,
    PaymentEvent,
    PeriodEvent,
    object_of,
    storable,
    text_of,
)

PROVIDER = "asaas"
BRASILIA = timezone(timedelta(hours=-3))
"""Asaas's times carry no zone; they are those of São Paulo, which has had no summer time since
2019.
"""
CLERK_PREFIX = "clerk:"
REFERENCE_SEPARATOR = "|"
_NUMBERED = re.compile(r"&([0-9]{1,18})$")
"""Ids of events end in a number that grows: `evt_05b708f961d739ea7eba7e4db318f621&368604920`."""


class Meaning(NamedTuple):
    """What a type of event says: the status to record (None: as it was), and the news of its
    billing period.
    """

    status: str | None
    news: PaymentEvent | None = None


MEANINGS: dict[str, Meaning] = {
    "SUBSCRIPTION_CREATED": Meaning("incomplete"),
    "SUBSCRIPTION_UPDATED": Meaning(None),
    "SUBSCRIPTION_INACTIVATED": Meaning("canceled"),
    "SUBSCRIPTION_DELETED": Meaning("canceled"),
    "PAYMENT_CREATED": Meaning("pending"),
    "PAYMENT_CONFIRMED": Meaning("active", PaymentEvent.PAID),
    "PAYMENT_RECEIVED": Meaning("active", PaymentEvent.PAID),
    "PAYMENT_DUNNING_RECEIVED": Meaning("active", PaymentEvent.PAID),
    "PAYMENT_OVERDUE": Meaning("past_due"),
    "PAYMENT_CREDIT_CARD_CAPTURE_REFUSED": Meaning("failed"),
    "PAYMENT_REPROVED_BY_RISK_ANALYSIS": Meaning("failed"),
    "PAYMENT_DELETED": Meaning("pending"),
    "PAYMENT_RESTORED": Meaning("pending"),
    "PAYMENT_REFUND_IN_PROGRESS": Meaning("pending"),
    "PAYMENT_PARTIALLY_REFUNDED": Meaning("refunded"),
    "PAYMENT_REFUNDED": Meaning("refunded", PaymentEvent.REFUNDED),
    "PAYMENT_RECEIVED_IN_CASH_UNDONE": Meaning("past_due", PaymentEvent.UNDONE),
    "PAYMENT_CHARGEBACK_REQUESTED": Meaning("chargeback", PaymentEvent.UNDONE),
    "PAYMENT_CHARGEBACK_DISPUTE": Meaning("chargeback", PaymentEvent.UNDONE),
    "PAYMENT_AWAITING_CHARGEBACK_REVERSAL": Meaning("active", PaymentEvent.PAID),
}
"""Types that are not here concern neither users nor credits."""


def read_event(body: dict[str, Any], raw: bytes, received_at: datetime) -> Delivery | None:
    """What an event says; None where it has no `event`, so that it is none of Asaas's."""
    event_type = text_of(body, "event")
    if event_type is None:
        return None
    payload = storable(body)
    # Events of old configurations have no id: then the same bytes are the same event.
    event_id = text_of(payload, "id") or "sha256:" + sha256(raw).hexdigest()
    effect = _effect(event_type, payload)
    subject = (effect.customer or effect.subscription) if isinstance(effect, Billing) else None
    return Delivery(PROVIDER, event_id, event_type, subject, _time(payload) or received_at, effect, payload)


def _effect(event_type: str, payload: dict[str, Any]) -> Effect:
    meaning = MEANINGS.get(event_type)
    if meaning is None:
        return IGNORED
    is_payment = event_type.startswith("PAYMENT_")
    what = object_of(payload, "payment" if is_payment else "subscription")
    if not what:
        return UNREADABLE
    subscription = text_of(what, "subscription" if is_payment else "id")
    if subscription is None:
        # A charge that belongs to no subscription is the app's own business, for example a top-up.
        return IGNORED if is_payment and what.get("subscription") is None else UNREADABLE
    users, plan = _reference(what)
    periods: tuple[PeriodEvent, ...] = ()
    if meaning.news is not None:
        charge = text_of(what, "id")
        if charge is None:
            return UNREADABLE
        periods = (PeriodEvent(subscription, charge, plan, meaning.news, due_at=_due_at(what)),)
    numbered = _NUMBERED.search(text_of(payload, "id") or "")
    return Billing(
        subscription, text_of(what, "customer"), users, plan, meaning.status, periods,
        no=int(numbered[1]) if numbered else 0, cycle=None if is_payment else text_of(what, "cycle"),
    )  # fmt: skip


def _due_at(payment: dict[str, Any]) -> datetime | None:
    """When the period of a charge begins: the start of the day on which it is due."""
    try:
        day = date.fromisoformat(text_of(payment, "dueDate") or "")
        return datetime.combine(day, time.min, BRASILIA).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _reference(what: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of user and plan: `externalReference` is `user` or `user|plan`; a plan may also be
    told by its payment link or name.
    """
    reference = text_of(what, "externalReference") or ""
    user, _, plan = (part.strip() for part in reference.partition(REFERENCE_SEPARATOR))
    user = user.removeprefix(CLERK_PREFIX)
    plans = (plan, text_of(what, "paymentLink"), text_of(what, "description"))
    return ((user,) if user else ()), tuple(dict.fromkeys(key for key in plans if key))


def _time(payload: dict[str, Any]) -> datetime | None:
    text = text_of(payload, "dateCreated")
    try:
        moment = datetime.fromisoformat(text) if text is not None else None
        if moment is None:
            return None
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=BRASILIA)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
