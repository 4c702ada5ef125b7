"""Cursors: where a page ended, as opaque text. They name a row, not a number of rows, so pages stay stable while rows are added."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from pedro_ledger.api.http.reading import invalid_query


def cursor_of(*place: Any) -> str:
    """The cursor of a row by what it is sorted by (times without zone are UTC)."""
    return urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def place_of(given: Mapping[str, str]) -> tuple[datetime, str] | None:
    """The time and id that a cursor names. Raises the problem 400 `invalid_query`."""
    match _decode(given):
        case None:
            return None
        case [str(at), str(row_id)] if "\0" not in row_id:
            try:
                moment = datetime.fromisoformat(at)
            except ValueError:
                raise _not_ours() from None
            if moment.tzinfo is None:
                return moment, row_id
    raise _not_ours()


def number_place_of(given: Mapping[str, str]) -> tuple[int, str] | None:
    """The number and id that a cursor names. Raises the problem 400 `invalid_query`."""
    match _decode(given):
        case None:
            return None
        case [int(number), str(row_id)] if (
            not isinstance(number, bool) and -(2**31) <= number < 2**31 and "\0" not in row_id
        ):
            return number, row_id
    raise _not_ours()


def seq_of(given: Mapping[str, str]) -> int | None:
    """The seq that a cursor names. Raises the problem 400 `invalid_query`."""
    match _decode(given):
        case None:
            return None
        case [int(seq)] if not isinstance(seq, bool) and 0 <= seq < 2**62:
            return seq
    raise _not_ours()


def _decode(given: Mapping[str, str]) -> Any:
    text = given.get("cursor")
    if text is None:
        return None
    try:
        return orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise _not_ours() from None


def _not_ours() -> Exception:
    return invalid_query("cursor", "must be the nextCursor of an earlier page of the same list")
