"""Answers as JSON: receipts, entries, users, pages. camelCase; times in RFC 3339, UTC, milliseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from pedro_ledger.ledger.entries import Receipt
from pedro_ledger.ledger.times import moment_text

JSON_TYPE = "application/json"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer whose body is `value` as JSON."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON_TYPE, headers=headers)


def page(items: Sequence[Any], next_cursor: str | None) -> web.Response:
    """One page of a list."""
    return json_response({"items": items, "nextCursor": next_cursor})


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
        "timestamp": moment_text(receipt.at_ms),
    }
