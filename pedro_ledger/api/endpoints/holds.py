"""Holds: credits set aside for work whose cost is not known yet."""

from datetime import UTC, datetime

from pedro_ledger.api.answering import raise_problem, receipt_response
from pedro_ledger.api.asked import capture_of, extend_of, hold_of, hold_ref, hold_seq, void_of
from pedro_ledger.api.http.entries import entry_json
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import idempotency_key, parse, query, read_json, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.answers import Heartbeat, Receipt
from pedro_ledger.api.schemas.queries import HoldsQuery, NoQuery
from pedro_ledger.api.schemas.requests import CaptureBody, ExtendBody, HeartbeatBody, HoldBody, VoidBody
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.holds import hold_id
from pedro_ledger.ledger.open_items import OpenHold
from pedro_ledger.ledger.operations import Heartbeat as Beat
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.journal.open_items import HoldRow, OpenItemsReader


async def make(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Set credits aside; the receipt's `entryId` is the hold's id."""
    key = idempotency_key(request)
    operation = hold_of(operation_types, request.caller, key, parse(HoldBody, await read_json(request)))
    return receipt_response(await engine.submit(user_ref(request), operation))


async def capture(request: Request, engine: Engine) -> Response[Receipt]:
    """Charge what the work took; what is left goes back, unless `final` is false."""
    key, hold = idempotency_key(request), request.path_values["hold"]
    operation = capture_of(request.caller, key, hold, parse(CaptureBody, await read_json(request)))
    return receipt_response(await engine.submit(hold_ref(hold), operation))


async def extend(request: Request, engine: Engine) -> Response[Receipt]:
    """Hold more credits, or for longer."""
    key, hold = idempotency_key(request), request.path_values["hold"]
    operation = extend_of(request.caller, key, hold, parse(ExtendBody, await read_json(request)))
    return receipt_response(await engine.submit(hold_ref(hold), operation))


async def void(request: Request, engine: Engine) -> Response[Receipt]:
    """Give back everything that is still held."""
    key, hold = idempotency_key(request), request.path_values["hold"]
    operation = void_of(request.caller, key, hold, parse(VoidBody, await read_json(request)))
    return receipt_response(await engine.submit(hold_ref(hold), operation))


async def heartbeat(request: Request, engine: Engine) -> Response[Heartbeat]:
    """Say that the work goes on; needs no idempotency key, for repeating it changes nothing."""
    hold = request.path_values["hold"]
    body = parse(HeartbeatBody, await read_json(request))
    operation = Beat(request.caller.key_id, hold, hold_seq(hold), body.used)
    answer = await engine.submit(hold_ref(hold), operation)
    raise_problem(answer)
    moved = answer.moved
    assert moved is not None, "a heartbeat is answered with the hold"
    assert moved.hold is not None, "that it heard of"
    until = moved.hold.lease_until_ms
    found: Heartbeat = {
        "holdId": hold,
        "leaseUntil": None if until is None else moment_text(until),
        "expiresAt": moment_text(moved.hold.end_ms),
        "creditsHeld": moved.hold.remaining,
        "creditsAvailable": moved.available,
    }
    return json_response(found)


async def list_open(request: Request, open_items: OpenItemsReader) -> Response[answers.Holds]:
    """A user's open holds, oldest first; with `reference` only that one."""
    given = query(request, HoldsQuery)
    row = await open_items.account(user_ref(request))
    account, _ = as_of(row.account, _now_ms())
    holds = () if account.open is None else account.open.holds
    wanted = given.reference
    shown = [_open_json(account, hold) for hold in holds if wanted is None or hold.reference == wanted]
    found: answers.Holds = {"items": shown}
    return json_response(found)


async def read(request: Request, open_items: OpenItemsReader) -> Response[answers.HoldInFull]:
    """A hold in any state, with its entries."""
    query(request, NoQuery)
    hold = request.path_values["hold"]
    hold_seq(hold)
    row = await open_items.hold(hold)
    if row is None:
        raise Problem(404, "hold_not_found", "No such hold", f"There is no hold {hold}.", holdId=hold)
    return json_response(hold_json(row))


def hold_json(row: HoldRow) -> answers.HoldInFull:
    """A hold on the wire, as of now."""
    account, _ = as_of(row.account, _now_ms())
    entries = [entry_json(account.user_id, each, row.hold_id) for each in row.entries]
    still = None if account.open is None else account.open.hold(row.original.seq)
    if still is not None:
        return {**_open_json(account, still), "entries": entries}
    made, closing = row.original.hold, row.original.closing
    assert made is not None, "a hold was read as it was made"
    state: answers.HoldState = "lapsed"  # what is due and not booked yet has lapsed
    if closing is not None and not closing.has_lapsed:
        state = "voided" if closing.kind == "void" else "captured"
    closed_ms = made.end_ms if closing is None else closing.at_ms
    return {
        "holdId": row.hold_id,
        "userId": account.user_id,
        "state": state,
        "operationType": made.operation_type,
        "reference": made.reference,
        "onLapse": made.on_lapse,
        "creditsReserved": made.reserved,
        "creditsHeld": 0,
        "creditsCaptured": row.original.credits_used,
        "expiresAt": moment_text(made.end_ms),
        "leaseUntil": None,
        "createdAt": moment_text(made.at_ms),
        "closedAt": moment_text(closed_ms),
        "closedBy": None if closing is None else closing.entry_id,
        "entries": entries,
    }


def _open_json(account: Account, hold: OpenHold) -> answers.Hold:
    return {
        "holdId": hold_id(account, hold),
        "userId": account.user_id,
        "state": "open",
        "operationType": hold.operation_type,
        "reference": hold.reference,
        "onLapse": hold.on_lapse,
        "creditsReserved": hold.reserved,
        "creditsHeld": hold.remaining,
        "creditsCaptured": hold.captured,
        "expiresAt": moment_text(hold.end_ms),
        "leaseUntil": None if hold.lease_until_ms is None else moment_text(hold.lease_until_ms),
        "createdAt": moment_text(hold.at_ms),
        "closedAt": None,
        "closedBy": None,
    }


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
