"""Ids for the app's own tables: text that sorts by time, as the app's cuids do."""

from secrets import randbits
from time import time_ns

from pedro_ledger.ledger.ids import encode_base32


def new_id() -> str:
    """26 characters: 48 bits of milliseconds, 80 bits of chance (a ULID,
    https://github.com/ulid/spec).
    """
    return encode_base32(time_ns() // 1_000_000, 5) + encode_base32(randbits(80), 8)
