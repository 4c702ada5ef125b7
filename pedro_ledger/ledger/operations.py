"""What a caller asks of one account.

Each names its idempotency key and who asks; its fingerprint tells requests apart.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal, NamedTuple

from pedro_ledger.ledger.meters import Limit
from pedro_ledger.ledger.open_items import OnLapse, Rollover
from pedro_ledger.ledger.tokens import Tokens

Overage = Literal["refuse", "allow", "cap"]
SOURCES = ("signup", "plan", "topup", "promo", "bonus", "adjustment")
"""Where granted credits may come from."""
DEFAULT_PRIORITIES = {"bonus": 40}
"""Gifts burn before what was paid for; every other source has the base's priority."""

OPENING_KEY = "§opening"
SIGNUP_KEY = "§signup"
LAPSE_KEY = "§lapse:"
EXPIRY_KEY = "§expire:"
ROLLOVER_KEY = "§rollover:"
"""Keys of the daemon's own operations start with a character that no caller's key can hold."""


class Deduct(NamedTuple):
    """Take `credits` (or the price of `operation_type`, when None) from what is available."""

    key: str
    actor: str
    operation_type: str
    credits: int | None = None
    details: str | None = None
    on_behalf_of: str | None = None
    model: str | None = None
    tokens: Tokens | None = None
    """With credits, what these were counted from; without, what is priced."""


class Refund(NamedTuple):
    """Give back credits of entry `entry_id` (all that is left, when `credits` is None), or without
    an entry.
    """

    key: str
    actor: str
    entry_id: str | None = None
    entry_seq: int | None = None
    operation_type: str | None = None
    credits: int | None = None
    details: str | None = None


class Grant(NamedTuple):
    """Bring in `credits` from one of `SOURCES`."""

    key: str
    actor: str
    credits: int
    source: str
    details: str | None = None
    expires_at_ms: int | None = None
    """Milliseconds since 1970; None: never, unless `expires_in_s` says when."""
    expires_in_s: int | None = None
    """Counted from the moment of the decision, so that a retry asks for the same."""
    priority: int | None = None
    rollover: Rollover | None = None
    closes: "Closes | None" = None
    next_ends_ms: int | None = None
    """Of a period: when the one after it ends, where a schedule says that there will be one."""


class Closes(NamedTuple):
    """The period before, which a period's grant brings to its end."""

    seq: int
    """Of its grant."""
    at_ms: int
    """When it ends."""


class Opening(NamedTuple):
    """Carry over the balance that a user had before the ledger knew the user."""

    key: str
    actor: str
    credits: int
    details: str | None = None


class Adjustment(NamedTuple):
    """Correct the balance by a signed number of credits, never below what is held."""

    key: str
    actor: str
    credits: int
    source: str
    details: str | None = None


class Recovery(NamedTuple):
    """Take back up to `credits` that came from `source`: what is available of them, which may be
    nothing.
    """

    key: str
    actor: str
    credits: int
    source: str
    details: str | None = None
    grant_seq: int | None = None
    """The grant that brought them, if it made a lot: what is free in it is taken and nothing
    else.
    """


class Hold(NamedTuple):
    """Set credits aside for work whose cost is not known yet: `credits`, or what is available from
    `credits_min` on.
    """

    key: str
    actor: str
    operation_type: str
    credits: int
    """Not looked at where tokens are to be priced."""
    details: str | None = None
    credits_min: int | None = None
    expires_in_s: int = 300
    lease_s: int | None = None
    on_lapse: OnLapse = "release"
    reference: str | None = None
    on_behalf_of: str | None = None
    model: str | None = None
    tokens: Tokens | None = None


class Capture(NamedTuple):
    """Charge `credits` of a hold: within what it holds, and beyond it as `overage` says."""

    key: str
    actor: str
    hold_id: str
    hold_seq: int
    credits: int
    details: str | None = None
    final: bool = True
    """Whether what is left goes back; otherwise the hold stays open with it."""
    overage: Overage = "refuse"
    model: str | None = None
    """None: the hold's."""
    tokens: Tokens | None = None
    micro: int | None = None
    """What the tokens cost in millionths of a credit, once they are priced; never asked for."""


class Extend(NamedTuple):
    """Pin `credits` more for a hold, or move its end to `expires_in_s` from now, or both; also a
    heartbeat.
    """

    key: str
    actor: str
    hold_id: str
    hold_seq: int
    credits: int = 0
    expires_in_s: int | None = None
    details: str | None = None


class Void(NamedTuple):
    """Give back all that a hold still holds, and close it."""

    key: str
    actor: str
    hold_id: str
    hold_seq: int
    details: str | None = None


class Heartbeat(NamedTuple):
    """Say that the work of a hold goes on, and what it has used; makes no entry, so it has no
    key.
    """

    actor: str
    hold_id: str
    hold_seq: int
    used: int | None = None
    key: str = ""


class Touch(NamedTuple):
    """Book what is due, and nothing else; makes no entry of its own, so it has no key."""

    actor: str
    key: str = ""


class SetLimit(NamedTuple):
    """Set one of the user's own spend limits; makes no entry, so it has no key."""

    actor: str
    limit: Limit
    key: str = ""


class DropLimit(NamedTuple):
    """Delete one of the user's own spend limits; makes no entry, so it has no key."""

    actor: str
    limit_id: str
    key: str = ""


class Booking(NamedTuple):
    """What the ledger books by itself because its moment has come.

    The key follows from the cause.
    """

    key: str
    actor: str
    details: str | None = None


HOLD_LENGTH_MAX_S = 24 * 3600
LATE_CAPTURE_MS = 24 * 3_600_000
"""A hold that lapsed can be captured for so long, out of what is available then."""

SPENDING = frozenset({Deduct, Hold, Extend})
"""What is turned away first under overload: everything else gives credits or ends what was let
in.
"""
OfHold = Capture | Extend | Void | Heartbeat
"""Operations that name a hold."""
Operation = Deduct | Refund | Grant | Opening | Adjustment | Recovery | Hold | Capture | Extend | Void
"""Operations that make an entry."""
OfLimits = SetLimit | DropLimit
"""Operations on the user's own spend limits."""
Keyless = Heartbeat | Touch | OfLimits
"""Operations that make none; repeating them is harmless."""
AnyOperation = Operation | Booking

KINDS: Mapping[type, str] = {
    kind: kind.__name__.lower()
    for kind in (
        Deduct, Refund, Grant, Opening, Adjustment, Recovery, Hold, Capture, Extend, Void, Heartbeat, Touch,
        SetLimit, DropLimit,
    )
}  # fmt: skip
"""What an operation of each type is called."""

_FIELDS_ONCE = {Deduct: 5, Refund: 7, Grant: 5, Recovery: 5, Hold: 11, Capture: 8}
"""How many fields operations had before others were added: those enter the fingerprint only where
one of them is set, so that a retry of an old request is still the same request."""


def fingerprint(operation: AnyOperation) -> bytes:
    """16 bytes that are equal for two operations exactly when they ask for the same thing, whoever
    asks and under whatever key.
    """
    kind = type(operation)
    once = _FIELDS_ONCE.get(kind)
    added = operation[once:] if once is not None else ()
    fields = operation[2:] if added.count(None) < len(added) else operation[2:once]
    asked = (kind.__name__, *fields)
    return sha256("\0".join(["" if field is None else str(field) for field in asked]).encode()).digest()[:16]
