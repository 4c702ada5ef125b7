"""Answers as JSON: camelCase names; times in RFC 3339, UTC, with milliseconds."""

from collections.abc import Mapping
from typing import Generic, TypeVar

import orjson
from aiohttp import web

from pedro_ledger.api.schemas import answers
from pedro_ledger.ledger.entries import Receipt
from pedro_ledger.ledger.times import moment_text

JSON_TYPE = "application/json"
A = TypeVar("A")


class Response(web.Response, Generic[A]):
    """A response whose body is an `A`.

    So the type checker holds a handler to the answer that its route declares.
    """


def json_response(value: A, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[A]:
    """An answer whose body is `value` as JSON."""
    return Response(status=status, body=orjson.dumps(value), content_type=JSON_TYPE, headers=headers)


def page(items: list[A], next_cursor: str | None) -> Response[answers.Page[A]]:
    """One page of a list."""
    found: answers.Page[A] = {"items": items, "nextCursor": next_cursor}
    return json_response(found)


def receipt_json(receipt: Receipt) -> answers.Receipt:
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
