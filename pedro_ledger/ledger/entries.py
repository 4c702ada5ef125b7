"""One immutable line of a user's ledger, and the receipt that its caller gets."""

import json
from typing import NamedTuple

HELD_KINDS = frozenset({"hold", "extend", "void"})
"""Kinds whose `credits`, the change of posted, is 0."""


class Entry(NamedTuple):
    """A change of one account, in the order of the columns of `pedro_ledger.entry`."""

    seq: int
    id: str
    kind: str
    operation_type: str | None
    credits: int
    """Signed change of the posted balance."""
    balance_after: int
    held_after: int
    related_seq: int | None
    """The entry that this one refunds, captures or lets expire."""
    source: str | None
    expires_at_ms: int | None
    """Of a grant or hold, when it ends; of an expiry, when that took effect."""
    priority: int | None
    key: str
    fingerprint: bytes
    actor: str
    """Who asked: the id of an API key, or the part of the daemon that acted by itself."""
    price: str | None
    """Where the price was found, when the caller named none."""
    details: str | None
    """JSON, byte for byte as it is hashed."""
    at_ms: int
    hash: bytes
    effects: str | None = None
    """What it does beyond a plain entry (lots, pins, a hold's end …): JSON, byte for byte as it is
    hashed.
    """


class Receipt(NamedTuple):
    """What the caller gets, and gets again when it repeats the idempotency key."""

    entry_id: str
    user_id: str
    type: str
    operation_type: str | None
    credits: int
    """The size of the operation, never negative."""
    credits_remaining: int
    credits_held: int
    seq: int
    at_ms: int
    related_seq: int | None = None
    expires_at_ms: int | None = None
    effects: str | None = None
    """As on the entry; None for a plain one."""

    @classmethod
    def of(cls, user_id: str, entry: Entry) -> "Receipt":
        """The receipt of an entry, wherever the entry comes from."""
        if entry.effects is not None or entry.expires_at_ms is not None:
            return cls._of_effects(user_id, entry)
        return cls(
            entry.id,
            user_id,
            entry.kind,
            entry.operation_type,
            abs(entry.credits),
            entry.balance_after,
            entry.held_after,
            entry.seq,
            entry.at_ms,
        )

    @classmethod
    def _of_effects(cls, user_id: str, entry: Entry) -> "Receipt":
        """The size of what only sets aside or gives back is the credits that were held or
        released.
        """
        size = abs(entry.credits)
        if entry.kind in HELD_KINDS:
            size = abs(json.loads(entry.effects or "{}").get("held", 0))
        return cls(
            entry.id, user_id, entry.kind, entry.operation_type, size, entry.balance_after, entry.held_after, entry.seq,
            entry.at_ms, entry.related_seq, entry.expires_at_ms, entry.effects,
        )  # fmt: skip
