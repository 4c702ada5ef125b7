"""Entry ids: 26 characters that sort by time and name their account and their place in it.

| characters | what |
|---|---|
| 0 to 9 | milliseconds since 1970, as in a ULID |
| 10 to 19 | the account's tag: the first 50 bits of SHA-256 over the user id |
| 20 to 25 | the entry's seq |

An id is therefore a pure function of the decision that made it, needs no index of its own, and
leads to its entry by the account's tag and the seq. Digits are Crockford's base 32
(https://www.crockford.com/base32.html).
"""

from functools import lru_cache
from hashlib import sha256

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SEQ_MAX = 32**6 - 1
ID_LENGTH = 26

_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_VALUES = {digit: value for value, digit in enumerate(ALPHABET)}


def encode_base32(value: int, pairs: int) -> str:
    """`value` in 2 x `pairs` digits, most significant first."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(10 * (pairs - 1), -1, -10)])


@lru_cache(maxsize=4)  # a batch is decided at one moment
def _time_digits(at_ms: int) -> str:
    return encode_base32(at_ms, 5)


def account_tag(user_id: str) -> str:
    """The ten characters by which entry ids name their account; two users may share a tag, so
    compare whole ids.
    """
    return encode_base32(int.from_bytes(sha256(user_id.encode()).digest()[:7]) >> 6, 5)


def entry_id(at_ms: int, tag: str, seq: int) -> str:
    """The id of entry `seq` of the account with `tag`, made `at_ms` milliseconds after 1970."""
    return _time_digits(at_ms) + tag + _PAIRS[seq >> 20] + _PAIRS[(seq >> 10) & 1023] + _PAIRS[seq & 1023]


def entry_time_ms(text: str) -> int:
    """When the entry with this id was made, in milliseconds since 1970."""
    at_ms = 0
    for digit in text[:10]:
        at_ms = at_ms * 32 + _VALUES[digit]
    return at_ms


def parse_entry_id(text: str) -> tuple[str, int] | None:
    """The account's tag and the seq that an entry id names; None where `text` is no entry id."""
    if len(text) != ID_LENGTH or any(digit not in _VALUES for digit in text):
        return None
    seq = 0
    for digit in text[20:]:
        seq = seq * 32 + _VALUES[digit]
    return (text[10:20], seq) if seq else None
