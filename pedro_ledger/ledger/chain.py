"""The hash chain that makes each user's ledger tamper-evident.

`hash = SHA-256(previous hash || SHA-256(canonical form))`, where the previous hash of the first
entry is 32 zero bytes: to follow the chain past an entry one needs the digest of its canonical
form, not what it says. The canonical form is the UTF-8 text of these fields, in this order, with
one NUL between two of them (no text in PostgreSQL can hold a NUL, so the form is unambiguous); an
absent value is empty, numbers are decimal, bytes are lower-case hexadecimal:

`pedro1`, user_id, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq,
source, expires_at, priority, idempotency_key, fingerprint, actor, price, details, created_at

An entry that has effects (lots, holds, expiries) says `pedro2` first and its effects between
`details` and `created_at`; every other entry is `pedro1`, whatever the version that wrote it. The
form follows from the content, so none can be read two ways. Times are milliseconds since 1970-01-01
UTC. `details` is the JSON text exactly as stored in `pedro_ledger.entry.details`.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

GENESIS = bytes(32)
VERSION = "pedro1"
VERSION_WITH_EFFECTS = "pedro2"


def entry_hash(previous: bytes, user_id: str, entry: Sequence[Any]) -> bytes:
    """The hash that an entry must carry, from its fields in the order of `Entry`; its own hash is
    not looked at. 32 bytes.
    """
    return sha256(previous + sha256(canonical_form(user_id, entry)).digest()).digest()


def canonical_form(user_id: str, entry: Sequence[Any]) -> bytes:
    """What an entry says, as it is hashed; from its fields in the order of `Entry`, of which the
    last two may be missing.
    """
    (
        seq, entry_id, kind, operation_type, credits, balance_after, held_after, related_seq, source, expires_at_ms,
        priority, key, fingerprint, actor, price, details, at_ms, *rest,
    ) = entry  # fmt: skip
    version, said = VERSION, ""
    if len(rest) > 1 and rest[1] is not None:
        version, said = VERSION_WITH_EFFECTS, f"\0{rest[1]}"
    return (
        f"{version}\0{user_id}\0{seq}\0{entry_id}\0{kind}\0{operation_type or ''}\0{credits}\0{balance_after}\0{held_after}"
        f"\0{'' if related_seq is None else related_seq}\0{source or ''}\0{'' if expires_at_ms is None else expires_at_ms}"
        f"\0{'' if priority is None else priority}\0{key}\0{fingerprint.hex()}\0{actor}\0{price or ''}\0{details or ''}{said}\0{at_ms}"
    ).encode()
