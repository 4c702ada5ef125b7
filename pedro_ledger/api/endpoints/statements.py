"""Balance, usage, statement, one entry."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from pedro_ledger.api.http.entries import entry_json
from pedro_ledger.api.http.paging import keyset_page
from pedro_ledger.api.http.reading import invalid_query, query, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, page
from pedro_ledger.api.http.rows import row_json
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.ownership import id_of
from pedro_ledger.api.schemas.answers import Balance, Entry, EntryInFull, EntryRefund, Page
from pedro_ledger.api.schemas.app_answers import Usage
from pedro_ledger.api.schemas.queries import BalanceQuery, NoQuery, StatementQuery, UsageQuery
from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.errors import EntryNotFound, UserNotFound
from pedro_ledger.ledger.times import moment_text, time_text, without_zone
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.statements import EntryReader

EXPIRING_SHOWN = 3


async def balance(request: Request, entries: EntryReader) -> Response[Balance]:
    """Where a user stands, or stood at a moment in the past (`at`)."""
    moment = query(request, BalanceQuery).at
    ref = user_ref(request)
    if moment is None:
        row = await entries.balance(ref)
    elif moment > datetime.now(UTC):
        raise invalid_query("at", "must not be in the future; without it you get the balance as it is")
    else:
        row = await entries.balance_at(ref, moment)
    if row is None:
        raise UserNotFound(f"There is no user {ref}.", user=ref)
    found: Balance = {
        "userId": row.user_id,
        "creditsRemaining": row.posted,
        "creditsHeld": row.held,
        "creditsAvailable": row.posted - row.held,
        "seq": row.seq,
        "updatedAt": time_text(row.updated_at) if row.updated_at is not None else None,
        "lastSyncedAt": time_text(row.last_synced_at) if row.last_synced_at is not None else None,
    }
    if row.account is not None:
        _show_open(found, row.account)
    return json_response(found)


def _show_open(shown: Balance, account: Account) -> None:
    """What a balance is as of now, as if everything that is due were booked."""
    account, pending = as_of(account, int(datetime.now(UTC).timestamp() * 1000))
    shown["creditsRemaining"], shown["creditsHeld"] = account.posted, account.held
    shown["creditsAvailable"] = account.available
    if pending:
        shown["pendingEntries"] = pending
    ends: dict[int, int] = {}
    for lot in () if account.open is None else account.open.lots:
        if lot.expires_ms is not None and lot.free:
            ends[lot.expires_ms] = ends.get(lot.expires_ms, 0) + lot.free
    if ends:
        shown["creditsExpiring"] = [
            {"credits": ends[moment], "expiresAt": moment_text(moment)} for moment in sorted(ends)[:EXPIRING_SHOWN]
        ]


async def usage(
    request: Request, entries: EntryReader, users: UserStore, operation_types: OperationTypes
) -> Response[Page[Usage]]:
    """The app's usage rows of a user, newest first."""
    given = query(request, UsageQuery)
    if given.operationType is not None:
        operation_types.require(given.operationType)
    rows = await entries.usage(
        await id_of(users, user_ref(request)),
        operation_type=given.operationType,
        since=without_zone(given.since),
        until=without_zone(given.until),
        before=given.cursor,
        limit=given.limit + 1,
    )
    shown, next_cursor = keyset_page(rows, given.limit, lambda row: (row["timestamp"], row["id"]))
    return page([usage_json(dict(row)) for row in shown], next_cursor)


async def statement(request: Request, entries: EntryReader, users: UserStore) -> Response[Page[Entry]]:
    """A user's entries of every kind in order of seq, each with the balance after it."""
    given = query(request, StatementQuery)
    rows = await entries.statement(
        user_id := await id_of(users, user_ref(request)),
        since=given.since,
        until=given.until,
        after_seq=given.cursor,
        newest_first=given.order == "desc",
        limit=given.limit + 1,
    )
    shown, next_cursor = keyset_page(rows, given.limit, lambda row: (row.entry["seq"],))
    return page([entry_json(user_id, row.entry, row.related_id) for row in shown], next_cursor)


async def entry(request: Request, entries: EntryReader) -> Response[EntryInFull]:
    """One entry with its refunds, where its price was found, and its place in the hash chain."""
    query(request, NoQuery)
    entry_id = request.path_values["entry"]
    row = await entries.entry(entry_id)
    if row is None:
        raise EntryNotFound("There is no such entry.")
    found: EntryInFull = {
        **entry_json(row.user_id, row.entry, row.related_id),
        "fingerprint": row.entry["fingerprint"][2:],
        "previousHash": row.previous_hash or "0" * 64,
        "refunds": [row_json(EntryRefund, refund) for refund in row.refunds],
    }
    return json_response(found)


def usage_json(row: Mapping[str, Any]) -> Usage:
    """A row of the app's usage on the wire."""
    return {
        "id": row["id"],
        "userId": row["userId"],
        "creditBalanceId": row["creditBalanceId"],
        "operationType": row["operationType"],
        "creditsUsed": row["creditsUsed"],
        "details": orjson.loads(row["details"]) if row["details"] else None,
        "timestamp": time_text(row["timestamp"]),
    }
