"""Reading the books: balance, usage, statement, one entry."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import cursor_of, place_of, seq_of
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, query, query_limit, query_time, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import json_response, page
from pedro_ledger.ledger.errors import EntryNotFound, UserNotFound
from pedro_ledger.ledger.times import time_text


async def balance(request: Request, context: Context) -> web.Response:
    """Where a user stands, or stood at a moment in the past (`at`)."""
    moment = query_time(query(request, "at"), "at")
    ref = user_ref(request)
    if moment is None:
        row = await context.entries.balance(ref)
    elif moment > datetime.now(UTC):
        raise invalid_query("at", "must not be in the future; without it you get the balance as it is")
    else:
        row = await context.entries.balance_at(ref, moment)
    if row is None:
        raise UserNotFound(f"There is no user {ref}.", user=ref)
    return json_response(
        {
            "userId": row.user_id,
            "creditsRemaining": row.posted,
            "creditsHeld": row.held,
            "creditsAvailable": row.posted - row.held,
            "seq": row.seq,
            "updatedAt": row.updated_at and time_text(row.updated_at),
            "lastSyncedAt": row.last_synced_at and time_text(row.last_synced_at),
        }
    )


async def usage(request: Request, context: Context) -> web.Response:
    """The app's usage rows of a user, newest first."""
    given = query(request, "operationType", "from", "to", "limit", "cursor")
    if "operationType" in given:
        context.require_operation_type(given["operationType"])
    limit = query_limit(given)
    since, until, before = _without_zone(given, "from"), _without_zone(given, "to"), place_of(given)
    rows = await context.entries.usage(
        await context.user_id(user_ref(request)),
        operation_type=given.get("operationType"),
        since=since,
        until=until,
        before=before,
        limit=limit + 1,
    )
    more = cursor_of(rows[limit - 1]["timestamp"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return page([_usage_json(dict(row)) for row in rows[:limit]], more)


async def statement(request: Request, context: Context) -> web.Response:
    """A user's entries of every kind in order of seq, each with the balance after it."""
    given = query(request, "from", "to", "order", "limit", "cursor")
    limit = query_limit(given)
    if given.get("order", "asc") not in {"asc", "desc"}:
        raise Problem(400, "invalid_query", "The query is not acceptable", "order must be asc or desc.", field="order")
    since, until, after = query_time(given, "from"), query_time(given, "to"), seq_of(given)
    rows = await context.entries.statement(
        user_id := await context.user_id(user_ref(request)),
        since=since,
        until=until,
        after_seq=after,
        newest_first=given.get("order") == "desc",
        limit=limit + 1,
    )
    more = cursor_of(rows[limit - 1].entry["seq"]) if len(rows) > limit else None
    return page([entry_json(user_id, row.entry, row.related_id) for row in rows[:limit]], more)


async def entry(request: Request, context: Context) -> web.Response:
    """One entry with its refunds, where its price was found, and its place in the hash chain."""
    query(request)
    entry_id = request.path_values["entry"]
    row = await context.entries.entry(entry_id)
    if row is None:
        raise EntryNotFound("There is no such entry.")
    return json_response(
        entry_json(row.user_id, row.entry, row.related_id)
        | {
            "fingerprint": row.entry["fingerprint"][2:],
            "previousHash": row.previous_hash or "0" * 64,
            "refunds": [
                each | {"timestamp": time_text(datetime.fromisoformat(each["timestamp"]))} for each in row.refunds
            ],
        }
    )


def entry_json(user_id: str, row: Mapping[str, Any], related_id: str | None) -> dict[str, Any]:
    """An entry on the wire; `credits` is the signed change."""
    return {
        "id": row["id"],
        "userId": user_id,
        "seq": row["seq"],
        "type": row["kind"],
        "operationType": row["operation_type"],
        "credits": row["credits"],
        "balanceAfter": row["balance_after"],
        "heldAfter": row["held_after"],
        "relatedEntryId": related_id,
        "source": row["source"],
        "idempotencyKey": row["idempotency_key"],
        "keyId": row["actor"],
        "price": row["price"],
        "details": orjson.loads(row["details"]) if row["details"] else None,
        "timestamp": time_text(datetime.fromisoformat(row["created_at"])),
        "hash": row["hash"][2:],
    }


def _usage_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "userId": row["userId"],
        "creditBalanceId": row["creditBalanceId"],
        "operationType": row["operationType"],
        "creditsUsed": row["creditsUsed"],
        "details": orjson.loads(row["details"]) if row["details"] else None,
        "timestamp": time_text(row["timestamp"]),
    }


def _without_zone(given: Mapping[str, str], name: str) -> datetime | None:
    moment = query_time(given, name)
    return moment.replace(tzinfo=None) if moment is not None else None
