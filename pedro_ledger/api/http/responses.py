"""Answers as JSON: camelCase names; times in RFC 3339, UTC, with milliseconds."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import orjson
from aiohttp import web

from pedro_ledger.api.schemas import answers
from pedro_ledger.ledger.entries import Receipt
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.times import moment_text

JSON_TYPE = "application/json"
SERVER = "pedro-ledger"
"""The `Server` header. aiohttp's own names its version and Python's, by which known holes are
looked up.
"""
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
    shown: answers.Receipt = {
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
    if receipt.effects is not None or receipt.expires_at_ms is not None:
        _add_effects(shown, receipt)
    return shown


def _add_effects(shown: answers.Receipt, receipt: Receipt) -> None:
    """What only receipts about lots and holds have; each only where it says something."""
    effects = {} if receipt.effects is None else orjson.loads(receipt.effects)
    if "lots" in effects:
        shown["lots"] = lots_json(effects["lots"])
    if receipt.expires_at_ms is not None and receipt.type in {"grant", "hold", "extend", "refund"}:
        shown["expiresAt"] = moment_text(receipt.expires_at_ms)
    if receipt.type == "hold" and (lease_s := (effects.get("terms") or {}).get("lease")) is not None:
        shown["leaseUntil"] = moment_text(receipt.at_ms + lease_s * 1000)
    if "hold" in effects:
        shown["holdId"] = effects["hold"]
    if receipt.type == "capture" and "final" not in effects:
        shown["holdRemaining"] = effects.get("left", 0)
    if "over" in effects:
        shown["creditsOver"] = effects["over"]
    if "uncollected" in effects:
        shown["creditsUncollected"] = effects["uncollected"]


def lots_json(shares: Sequence[Sequence[int]]) -> list[answers.LotShare]:
    """Shares of lots on the wire."""
    return [{"seq": seq, "credits": credits} for seq, credits in shares]


def rollover_json(rule: Rollover) -> answers.Rollover:
    """A rollover rule on the wire; times in seconds."""
    shown: answers.Rollover = {
        "percent": rule.percent,
        "times": rule.times,
        "expiresIn": "nextPeriod" if rule.expires_in_ms is None else rule.expires_in_ms // 1000,
    }
    if rule.cap is not None:
        shown["cap"] = rule.cap
    return shown
