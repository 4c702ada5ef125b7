"""The hash chain that makes each user's ledger tamper-evident.

`hash = SHA-256(previous hash || canonical form)`, where the previous hash of the first entry is 32 zero bytes. The canonical
form is the UTF-8 text of these fields, in this order, with one NUL between two of them (no text in PostgreSQL can hold
a NUL, so the form is unambiguous); an absent value is empty, numbers are decimal, bytes are lower-case hexadecimal:

`pedro1`, user_id, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source, expires_at,
priority, idempotency_key, fingerprint, actor, price, details, created_at

Times are milliseconds since 1970-01-01 UTC. `details` is the JSON text exactly as stored in `pedro_ledger.entry.details`.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pedro_ledger.ledger.entries import Entry

GENESIS = bytes(32)
VERSION = "pedro1"


def entry_hash(previous: bytes, user_id: str, entry: "Entry") -> bytes:
    """The hash that `entry` must carry (its own `hash` is not looked at). 32 bytes."""
    canonical = (
        f"{VERSION}\0{user_id}\0{entry.seq}\0{entry.id}\0{entry.kind}\0{entry.operation_type or ''}\0{entry.credits}"
        f"\0{entry.balance_after}\0{entry.held_after}\0{_text(entry.related_seq)}\0{entry.source or ''}"
        f"\0{_text(entry.expires_at_ms)}\0{_text(entry.priority)}\0{entry.key}\0{entry.fingerprint.hex()}"
        f"\0{entry.actor}\0{entry.price or ''}\0{entry.details or ''}\0{entry.at_ms}"
    )
    return sha256(previous + canonical.encode()).digest()


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
