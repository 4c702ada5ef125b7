"""Reading a request: body, idempotency key, path and query.

Bodies are bounded in time and size, and parsed strictly.
"""

import asyncio
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar
from zoneinfo import available_timezones

import jiter
import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pedro_ledger.api.http.problems import Problem, body_too_large
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.schemas.queries import Query
from pedro_ledger.api.schemas.refs import USER_REF_PATTERN
from pedro_ledger.api.schemas.requests import Body
from pedro_ledger.engine.byte_budget import LARGE, PUBLIC
from pedro_ledger.ledger.errors import UserNotFound

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)

_CHOSEN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_USER_REF = re.compile(USER_REF_PATTERN)
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


async def read_json(request: Request) -> Any:
    """The body as JSON. Raises the problems of `read_body` and `parse_json`."""
    body = _body_at_hand(request)
    return parse_json(await _rest_of_body(request) if body is None else body)


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises the problems 408 when it does not come in time, 413 when it is too large, and 415 when it
    is encoded.
    """
    body = _body_at_hand(request)
    return await _rest_of_body(request) if body is None else body


def _body_at_hand(request: Request) -> bytes | None:
    """The whole body where it came with the head, as small bodies do."""
    if "Content-Encoding" in request.headers:
        raise Problem(
            415,
            "encoding_not_supported",
            "Encoding not supported",
            "Send the body as plain JSON, without Content-Encoding.",
        )
    content = request.content
    if not content.is_eof():
        return None
    body = content.read_nowait()
    if len(body) > request.client_max_size:
        raise body_too_large(request.client_max_size)
    return body


async def _rest_of_body(request: Request) -> bytes:
    """The bytes of a large body are counted as they arrive, and until it is whole: its caller then
    parses it without awaiting anything.
    """
    bytes_max, limits, body = request.client_max_size, request.body_limits, bytearray()
    if request.content_length is not None and request.content_length > bytes_max:
        raise body_too_large(bytes_max)
    held = limits.budget.hold(None if request.caller.scopes else PUBLIC)
    try:
        async with asyncio.timeout(limits.timeout_s):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > bytes_max:
                    raise body_too_large(bytes_max)
                if len(body) > LARGE:
                    held.grow_to(len(body))
        return bytes(body)
    except TimeoutError:
        raise Problem(
            408,
            "body_timeout",
            "The body did not come in time",
            f"The whole body must arrive within {limits.timeout_s:g} s.",
        ) from None
    finally:
        held.release()


def parse_json(body: bytes) -> Any:
    """The JSON value in a body.

    Raises the problem 400 `malformed_json` for anything that is not strict JSON.
    """
    try:
        return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise Problem(400, "malformed_json", "The body is not JSON", f"The body is not JSON: {error}.") from None


def parse(model: type[B], value: Any) -> B:
    """A value as `model`. Raises the problem 422 `invalid_body`, which names the wrong fields."""
    try:
        parsed: B = model.__pydantic_validator__.validate_python(value)
        return parsed
    except ValidationError as error:
        raise invalid_body(error) from None


def invalid_body(error: ValidationError) -> Problem:
    """The problem for a body that is JSON but not what the call takes."""
    found = [
        {"field": ".".join(str(part) for part in each["loc"]) or "body", "message": _message(error.title, each)}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = found[0]
    return Problem(
        422,
        "invalid_body",
        "The body is not acceptable",
        f"{first['field']}: {first['message']}",
        field=first["field"],
        errors=found[:20],
    )


def _message(model: str, error: ErrorDetails) -> str:
    """What is wrong with a field; of one that the call does not take, whether it is a typo."""
    if error["type"] != "extra_forbidden":
        return error["msg"]
    fields, name = _fields_of_bodies(), str(error["loc"][-1])
    own = fields.get(model, []) if len(error["loc"]) == 1 else []
    takes = f"this one takes {', '.join(own)}" if own else "not to this one"
    if any(name in others for others in fields.values()):
        return f"is known to other calls, but {takes}"
    if close := get_close_matches(name, own, n=1):
        return f"is no field; did you mean {close[0]}?"
    return f"is no field of any call; {takes}" if own else "is no field of any call"


@cache
def _fields_of_bodies() -> dict[str, list[str]]:
    """The fields of every body, by the name of its model."""
    found, left = dict[str, list[str]](), [Body]
    while left:
        model = left.pop()
        found[model.__name__] = list(model.model_fields)
        left += model.__subclasses__()
    return found


def sent_fields(body: Body) -> dict[str, Any]:
    """What a body names, null included. Raises the problem 422 for text that no column holds."""
    fields = body.model_dump(include=body.model_fields_set)
    for name, value in fields.items():
        refuse_unstorable(value, name)
    return fields


def details_text(details: Mapping[str, Any] | None) -> str | None:
    """Details as the text that is hashed and stored: compact JSON with sorted keys.

    Raises the problem 422 for what no JSON column holds.
    """
    if details is None:
        return None
    refuse_unstorable(details, "details")
    return orjson.dumps(details, option=orjson.OPT_SORT_KEYS).decode()


def idempotency_key(request: Request) -> str:
    """The request's `Idempotency-Key`.

    Raises the problems 400 `idempotency_key_required` and `idempotency_key_invalid`.
    """
    keys = request.headers.getall("Idempotency-Key", ())
    if not keys:
        raise Problem(
            400,
            "idempotency_key_required",
            "Idempotency key required",
            "Send an Idempotency-Key header of 1 to 255 printable ASCII characters; the same one when you retry.",
            field="Idempotency-Key",
        )
    if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
        raise Problem(
            400,
            "idempotency_key_invalid",
            "Idempotency key invalid",
            "Send one Idempotency-Key header of 1 to 255 printable ASCII characters.",
            field="Idempotency-Key",
        )
    return keys[0]


def user_ref(request: Request) -> str:
    """The `{user}` of the path. Raises `UserNotFound` for what can be no user's name."""
    ref = request.path_values["user"]
    if _USER_REF.fullmatch(ref) is None:
        raise UserNotFound("There is no such user.")
    return ref


def chosen_id(request: Request, name: str, field: str) -> str:
    """The id in the path that callers choose themselves. Raises the problem 422."""
    chosen = request.path_values[name]
    if _CHOSEN_ID.fullmatch(chosen) is None:
        raise unacceptable(field, f"{field} must be 1 to 64 letters, digits, dots, dashes and underscores.")
    return chosen


def require_time_zone(name: str) -> None:
    """Raises the problem 422 for what is no IANA time zone."""
    if name not in _time_zones():
        raise unacceptable("timeZone", "timeZone must be an IANA time zone such as America/Sao_Paulo.")


def parse_moment(field: str, text: str) -> datetime:
    """A moment in a body, in UTC. Raises the problem 422."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise unacceptable(field, f"{field} must be an RFC 3339 time such as 2026-01-31T12:00:00Z.") from None


def moment_ms(field: str, text: str) -> int:
    """A moment in a body, in milliseconds since 1970. Raises the problem 422."""
    return round(parse_moment(field, text).timestamp() * 1000)


def unacceptable(field: str, detail: str) -> Problem:
    """A body that is well formed and asks for what cannot be."""
    return Problem(422, "invalid_body", "The body is not acceptable", detail, field=field)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() | {"UTC"})


def query(request: Request, model: type[Q], *, takes: Collection[str] | None = None) -> Q:
    """The query's parameters as `model`; of these only those in `takes`, where it is given.

    Raises the problem 400 `invalid_query` for a parameter that the call does not take, that is
    given twice, or whose value cannot be parsed.
    """
    names = [name for name in model.names() if takes is None or name in takes]
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in names:
            raise invalid_query(name, f"is not a parameter of this call; it takes {', '.join(names) or 'none'}")
        if name in given:
            raise invalid_query(name, "is given twice")
        if "\0" in value:
            raise invalid_query(name, "holds a NUL")
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = (
            f"must be {first['ctx']['expected']}".replace("'", "") if first["type"] == "literal_error" else first["msg"]
        )
        raise invalid_query(str(first["loc"][0]), why) from None


def invalid_query(name: str, why: str) -> Problem:
    """A query parameter that cannot be understood."""
    return Problem(400, "invalid_query", "The query is not acceptable", f"{name} {why}.", field=name)


def refuse_unstorable(value: Any, path: str) -> None:
    """Raises the problem 422 `invalid_body` for JSON that PostgreSQL cannot store.

    `path` names the value.
    """
    match value:
        case str():
            if "\0" in value:
                raise _unstorable(path, "must not hold the character U+0000")
        case bool() | None:
            return
        case int():
            if not _INT64_MIN <= value <= _UINT64_MAX:
                raise _unstorable(path, "must be a number of at most 64 bits")
        case float():
            if not math.isfinite(value):
                raise _unstorable(path, "must be a number that a double can hold")
        case list():
            for place, item in enumerate(value):
                refuse_unstorable(item, f"{path}.{place}")
        case dict():
            for name, item in value.items():
                refuse_unstorable(name, path)
                refuse_unstorable(item, f"{path}.{name}")


def _unstorable(path: str, why: str) -> Problem:
    path = path.replace("\0", "\\u0000")
    return unacceptable(path, f"{path} {why}.")
