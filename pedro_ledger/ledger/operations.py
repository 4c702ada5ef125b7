"""What a caller asks of one account. Each names its idempotency key and who asks; its fingerprint tells requests apart."""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

SOURCES = ("signup", "plan", "topup", "promo", "adjustment")
"""Where granted credits may come from."""

OPENING_KEY = "§opening"
SIGNUP_KEY = "§signup"
"""Keys of the daemon's own operations start with a character that no caller's key can hold."""


class Deduct(NamedTuple):
    """Take `credits` (or the price of `operation_type`, when None) from what is available."""

    key: str
    actor: str
    operation_type: str
    credits: int | None = None
    details: str | None = None


class Refund(NamedTuple):
    """Give back credits of entry `entry_id` (all that is left, when `credits` is None), or without an entry."""

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
    """Take back up to `credits` that came from `source`: what is available of them, which may be nothing."""

    key: str
    actor: str
    credits: int
    source: str
    details: str | None = None


Operation = Deduct | Refund | Grant | Opening | Adjustment | Recovery

KINDS: Mapping[type, str] = {
    kind: kind.__name__.lower() for kind in (Deduct, Refund, Grant, Opening, Adjustment, Recovery)
}
"""What an operation of each type is called."""


def fingerprint(operation: Operation) -> bytes:
    """16 bytes that are equal for two operations exactly when they ask for the same thing, whoever asks and under whatever key."""
    asked = (type(operation).__name__, *operation[2:])
    return sha256("\0".join(["" if field is None else str(field) for field in asked]).encode()).digest()[:16]
