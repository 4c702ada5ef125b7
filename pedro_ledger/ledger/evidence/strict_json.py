"""Reading JSON that is evidence: every field is there once, is of its type, and no other field
is.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
INTEGER_DIGITS_MAX = 19


class EvidenceError(ValueError):
    """What was read proves nothing; the message says why."""


def read_object(text: bytes | str) -> dict[str, Any]:
    """The JSON object that is the whole of `text`.

    Numbers are integers, no name comes twice. Raises `EvidenceError`.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(
            text, object_pairs_hook=_once, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError("it is not JSON") from None
    if not isinstance(value, dict):
        raise EvidenceError("it is not a JSON object")
    return value


def require_fields(value: Any, names: tuple[str, ...], what: str) -> Mapping[str, Any]:
    """`value` as an object with exactly these fields."""
    if not isinstance(value, dict):
        raise EvidenceError(f"{what} is not an object")
    if value.keys() != set(names):
        wrong = sorted(value.keys() ^ set(names))[0]
        raise EvidenceError(f"{what} has not the fields that it must have: see {wrong}")
    return value


def text(value: Any, what: str) -> str:
    """A text that can be hashed as UTF-8 with NUL between fields, and is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise EvidenceError(f"{what} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EvidenceError(f"{what} is not a text") from None
    return value


def integer(value: Any, what: str) -> int:
    """An integer; true and false are none."""
    if type(value) is not int:
        raise EvidenceError(f"{what} is not an integer")
    return value


def count(value: Any, what: str) -> int:
    """An integer that is not negative."""
    if integer(value, what) < 0:
        raise EvidenceError(f"{what} is negative")
    return int(value)


def digest(value: Any, what: str, length: int = 32) -> bytes:
    """`length` bytes as lower-case hexadecimal."""
    if not isinstance(value, str) or len(value) != 2 * length or not set(value) <= set("0123456789abcdef"):
        raise EvidenceError(f"{what} is not {length} bytes in lower-case hexadecimal")
    return bytes.fromhex(value)


def digests(value: Any, what: str) -> list[bytes]:
    """A list of SHA-256 digests."""
    if not isinstance(value, list):
        raise EvidenceError(f"{what} is not a list")
    return [digest(each, what) for each in value]


def maybe(reader: Callable[[Any, str], T], value: Any, what: str) -> T | None:
    """As `reader` reads it, or null."""
    return None if value is None else reader(value, what)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise EvidenceError("it names a field twice")
    return value


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_MAX or digits == "-0":
        raise EvidenceError("it has a number that no ledger has")
    return int(digits)


def _no_number(digits: str) -> Any:
    raise EvidenceError(f"{digits[:20]} is not an integer")
