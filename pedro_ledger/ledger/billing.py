"""What a delivery says, in our words, whichever provider sent it."""

import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID_LENGTH_MAX = 255
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_LATEST_MS = 4_102_444_800_000  # the year 2100


class UserUpserted(NamedTuple):
    """A user as Clerk has it now."""

    clerk_id: str
    email: str | None
    name: str | None
    is_active: bool


class UserDeleted(NamedTuple):
    """A user whom Clerk has no more."""

    clerk_id: str


class PaymentEvent(StrEnum):
    """What is new of a billing period."""

    PAID = "paid"
    UNDONE = "undone"
    """The money is contested or was not received after all; it may come back."""
    REFUNDED = "refunded"


class PeriodEvent(NamedTuple):
    """Something that happened to one billing period."""

    subscription: str
    period: str
    plan: tuple[str, ...]
    """Keys that the plan may be known by, best first."""
    news: PaymentEvent
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """Where the provider tells them: `period` is then only what the period is called if it is
    new.
    """
    due_at: datetime | None = None
    """Where the provider tells only when the period begins: it is known by its name."""


class PeriodNews(NamedTuple):
    """The newest news of one billing period. It is paid while `paid_at > undone_at`, and a refund
    is final.

    Asaas tells the second of an event, and numbers its events: `…_no` is what came first within a
    second; 0 where the provider tells no number. It is kept apart, and shows in `paid_at` as a
    millisecond more than `undone_at`.
    """

    paid_at: datetime | None = None
    paid_no: int = 0
    undone_at: datetime | None = None
    undone_no: int = 0
    refunded_at: datetime | None = None

    def after(self, event: PaymentEvent, at: datetime, no: int) -> "PeriodNews":
        """With one more event, which may come late or again: any order of the same events gives the
        same.
        """
        if event is PaymentEvent.REFUNDED:
            return self._replace(refunded_at=max(self.refunded_at or at, at))
        paid_at, paid_no, undone_at, undone_no, refunded_at = self
        if event is PaymentEvent.PAID:
            paid_at, paid_no = _later(paid_at, paid_no, at, no)
        else:
            undone_at, undone_no = _later(undone_at, undone_no, at, no)
        if paid_at is not None and undone_at is not None and _second(paid_at) == _second(undone_at):
            undone_at = _second(undone_at)
            paid_at = undone_at + timedelta(milliseconds=1 if paid_no > undone_no else 0)
        return PeriodNews(paid_at, paid_no, undone_at, undone_no, refunded_at)


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _later(known_at: datetime | None, known_no: int, at: datetime, no: int) -> tuple[datetime, int]:
    if known_at is None or (_second(at), no) > (_second(known_at), known_no):
        return at, no
    return known_at, known_no


class Billing(NamedTuple):
    """An event of a subscription or of a payment for one."""

    subscription: str
    customer: str | None
    """What the provider calls who pays."""
    users: tuple[str, ...]
    """Keys that the user may be known by (`User.id` or Clerk id), best first."""
    plan: tuple[str, ...]
    """Keys that the plan may be known by, best first."""
    status: str | None
    """For `SubscriptionEvent.status`; None: as it was before."""
    periods: tuple[PeriodEvent, ...]
    doubtful: tuple[PeriodEvent, ...] = ()
    """Periods that would be paid if it were known that they cost anything."""
    no: int = 0
    """Number of the event among those of its second, where the provider numbers its events."""
    cycle: str | None = None
    """How long the subscription's periods are, in the provider's words, where it tells it so."""


class Nothing(NamedTuple):
    """Nothing follows: it concerns neither users nor credits, or cannot be read although it is
    genuine.
    """

    is_readable: bool


IGNORED = Nothing(is_readable=True)
UNREADABLE = Nothing(is_readable=False)

Effect = UserUpserted | UserDeleted | Billing | Nothing


class Delivery(NamedTuple):
    """One event as it was delivered."""

    provider: str
    event_id: str
    event_type: str
    subject: str | None
    """Whom it is about, in the provider's words."""
    occurred_at: datetime
    effect: Effect
    payload: Any
    """The event itself, as any JSON column can hold it."""


def storable(value: Any) -> Any:
    """A JSON value without what PostgreSQL or our encoder cannot hold: U+0000 is left out, numbers
    too large become text.
    """
    match value:
        case str():
            stored: Any = value.replace("\0", "")
        case bool() | None:
            stored = value
        case int():
            stored = value if _INT64_MIN <= value <= _INT64_MAX else str(value)
        case float():
            stored = value if math.isfinite(value) else str(value)
        case list():
            stored = [storable(item) for item in value]
        case _:
            stored = {name.replace("\0", ""): storable(item) for name, item in value.items()}
    return stored


def text_of(value: Any, name: str) -> str | None:
    """A text of an object, or None where it is missing, empty, too long for an id, or holds what no
    id holds.
    """
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, str) and 0 < len(found) <= ID_LENGTH_MAX and found.isprintable():
        return found
    return None


def object_of(value: Any, name: str) -> dict[str, Any]:
    """An object of an object; empty where it is missing or something else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def objects_of(value: Any, name: str) -> list[dict[str, Any]]:
    """The objects in a list of an object; empty where it is missing or something else."""
    found = value.get(name) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def time_of_ms(value: Any) -> datetime | None:
    """Milliseconds since 1970 as a time; None for anything else."""
    if type(value) is int and 0 < value < _LATEST_MS:
        return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
    return None
