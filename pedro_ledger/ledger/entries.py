"""One immutable line of a user's ledger, and the receipt that its caller gets."""

from typing import NamedTuple


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

    @classmethod
    def of(cls, user_id: str, entry: Entry) -> "Receipt":
        """The receipt of an entry, wherever the entry comes from."""
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
