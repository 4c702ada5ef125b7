"""Answers as JSON: receipts, entries, users, pages. camelCase; times in RFC 3339, UTC, milliseconds."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from pedro_ledger.ledger.entries import Receipt

JSON_TYPE = "application/json"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer whose body is `value` as JSON."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON_TYPE, headers=headers)


def page(items: Sequence[Any], next_cursor: str | None) -> web.Response:
    """One page of a list."""
    return json_response({"items": items, "nextCursor": next_cursor})


_last_moment: tuple[int, str] = (0, "1970-01-01T00:00:00.000Z")


def moment(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339. Receipts of one batch share their moment, so the last one is kept."""
    global _last_moment  # noqa: PLW0603
    known, text = _last_moment
    if known != at_ms:
        text = time_text(datetime.fromtimestamp(at_ms / 1000, UTC))
        _last_moment = (at_ms, text)
    return text


def time_text(time: datetime) -> str:
    """A time as RFC 3339; the app's columns have no zone and are UTC."""
    naive = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo is not None else time
    return naive.isoformat(timespec="milliseconds") + "Z"


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt on the wire."""
    return {
        "entryId": receipt.entry_id,
        "userId": receipt.user_id,
        "type": receipt.type,
        "operationType": receipt.operation_type,
        "credits": receipt.credits,
        "creditsRemaining": receipt.credits_remaining,
        "creditsHeld": receipt.credits_held,
        "seq": receipt.seq,
        "timestamp": moment(receipt.at_ms),
    }
