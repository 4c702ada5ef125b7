"""Cursors of keyset pagination: where a page ended, as opaque text.

They name a row, not a number of rows, so pages stay stable while rows are added.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError


def cursor_of(*place: Any) -> str:
    """The cursor of a row by what it is sorted by (times without zone are UTC)."""
    return urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def _timed_place(text: str) -> tuple[datetime, str]:
    match _decode(text):
        case [str(at), str(row_id)] if "\0" not in row_id:
            try:
                moment = datetime.fromisoformat(at)
            except ValueError:
                raise _not_ours() from None
            if moment.tzinfo is None:
                return moment, row_id
    raise _not_ours()


def _numbered_place(text: str) -> tuple[int, str]:
    match _decode(text):
        case [int(number), str(row_id)] if (
            not isinstance(number, bool) and -(2**31) <= number < 2**31 and "\0" not in row_id
        ):
            return number, row_id
    raise _not_ours()


def _seq(text: str) -> int:
    match _decode(text):
        case [int(seq)] if not isinstance(seq, bool) and 0 <= seq < 2**62:
            return seq
    raise _not_ours()


def _decode(text: str) -> Any:
    try:
        return orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise _not_ours() from None


def _not_ours() -> PydanticCustomError:
    return PydanticCustomError("cursor", "must be the nextCursor of an earlier page of the same list")


_TEXT = WithJsonSchema({"type": "string", "description": "The `nextCursor` of the page before."})
TimedCursor = Annotated[tuple[datetime, str], BeforeValidator(_timed_place), _TEXT]
"""The time (UTC, without zone) and the id of the last row of the page before."""
NumberedCursor = Annotated[tuple[int, str], BeforeValidator(_numbered_place), _TEXT]
"""The number and the id of the last row of the page before."""
SeqCursor = Annotated[int, BeforeValidator(_seq), _TEXT]
"""The seq of the last entry of the page before."""
