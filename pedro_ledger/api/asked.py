"""What bodies ask for: the operation that each one becomes.

Problems concern the body alone, never time or state.
"""

from typing import Any

from pydantic import ValidationError

from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import details_text, invalid_body, moment_ms, unacceptable
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.requests import (
    AdjustmentBody,
    BatchCapture,
    BatchDeduct,
    BatchExtend,
    BatchGrant,
    BatchHold,
    BatchRefund,
    BatchVoid,
    CaptureBody,
    DeductBody,
    ExtendBody,
    GrantBody,
    HoldBody,
    RefundBody,
    RolloverBody,
    TokensBody,
    VoidBody,
)
from pedro_ledger.engine.registry import HOLD_PREFIX
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.operations import (
    Adjustment,
    Capture,
    Deduct,
    Extend,
    Grant,
    Hold,
    Operation,
    Refund,
    Void,
)
from pedro_ledger.ledger.tokens import Tokens


def deduct_of(operation_types: OperationTypes, caller: Caller, key: str, body: DeductBody) -> Deduct:
    """The operation that a deduct's body asks for."""
    operation_types.require(body.operationType)
    details = details_text(body.details)
    tokens = _tokens_of(body.credits, body.tokens)
    if body.model is not None and tokens is None:
        raise unacceptable("model", "model is for tokens: send them, or leave it out.")
    return Deduct(key, caller.key_id, body.operationType, body.credits, details, body.onBehalfOf, body.model, tokens)


def refund_of(operation_types: OperationTypes, caller: Caller, key: str, body: RefundBody) -> Refund:
    """The operation that a refund's body asks for.

    Raises the problem 422 when it names neither or both ways to refund, and 403 for one without an
    entry by a key without `admin`: nothing bounds such a refund, so it makes credits as a grant
    does.
    """
    details = details_with(body.details, body.reason)
    if body.entryId is not None:
        if body.operationType is not None:
            raise unacceptable("operationType", "entryId names the operation already; leave operationType out.")
        named = parse_entry_id(body.entryId)
        if named is None:
            raise Problem(
                404,
                "entry_not_found",
                "No such entry",
                f"There is no entry {body.entryId}.",
                entryId=body.entryId,
            )
        return Refund(key, caller.key_id, body.entryId, named[1], None, body.credits, details)
    if body.operationType is None or body.credits is None:
        missing = "operationType" if body.operationType is None else "credits"
        raise unacceptable(missing, "Send entryId, or operationType and credits to refund without an entry.")
    caller.require(Scope.ADMIN)
    operation_types.require(body.operationType)
    return Refund(key, caller.key_id, None, None, body.operationType, body.credits, details)


def grant_of(caller: Caller, key: str, body: GrantBody) -> Grant:
    """The operation that a grant's body asks for."""
    details = details_with(body.details, body.reason)
    if body.expiresAt is not None and body.expiresIn is not None:
        raise unacceptable("expiresIn", "Send expiresAt or expiresIn, not both.")
    if body.rollover is not None and body.expiresAt is None and body.expiresIn is None:
        raise unacceptable("rollover", "A grant that never ends never rolls over: send expiresAt or expiresIn.")
    expires_at_ms = None if body.expiresAt is None else moment_ms("expiresAt", body.expiresAt)
    return Grant(
        key, caller.key_id, body.credits, body.source, details, expires_at_ms, body.expiresIn, body.priority,
        None if body.rollover is None else _rollover_of(body.rollover),
    )  # fmt: skip


def adjustment_of(caller: Caller, key: str, body: AdjustmentBody) -> Adjustment:
    """The operation that an adjustment's body asks for.

    Raises the problem 422 for one that changes nothing.
    """
    if body.credits == 0:
        raise unacceptable("credits", "An adjustment of 0 credits changes nothing.")
    return Adjustment(key, caller.key_id, body.credits, "adjustment", details_with(body.details, body.reason))


def _rollover_of(body: RolloverBody) -> Rollover:
    return Rollover(body.percent, body.cap, body.times, body.expiresIn * 1000)


def batch_operation(operation_types: OperationTypes, caller: Caller, raw: Any) -> tuple[str, Operation]:
    """The user and the operation of one line of a batch.

    Raises a problem that concerns this line alone.
    """
    kind = raw.get("type") if isinstance(raw, dict) else None
    try:
        match kind:
            case "deduct":
                line = BatchDeduct.__pydantic_validator__.validate_python(raw)
                return line.user, deduct_of(operation_types, caller, line.idempotencyKey, line)
            case "refund":
                line = BatchRefund.__pydantic_validator__.validate_python(raw)
                return line.user, refund_of(operation_types, caller, line.idempotencyKey, line)
            case "grant":
                caller.require(Scope.ADMIN)
                line = BatchGrant.__pydantic_validator__.validate_python(raw)
                return line.user, grant_of(caller, line.idempotencyKey, line)
            case "hold" | "capture" | "extend" | "void":
                return _hold_line(operation_types, caller, kind, raw)
            case _:
                raise unacceptable("type", "type must be deduct, refund, grant, hold, capture, extend or void.")
    except ValidationError as error:
        raise invalid_body(error) from None


def _hold_line(operation_types: OperationTypes, caller: Caller, kind: str, raw: Any) -> tuple[str, Operation]:
    if kind == "hold":
        hold = BatchHold.__pydantic_validator__.validate_python(raw)
        return hold.user, hold_of(operation_types, caller, hold.idempotencyKey, hold)
    if kind == "capture":
        line = BatchCapture.__pydantic_validator__.validate_python(raw)
        return hold_ref(line.holdId), capture_of(caller, line.idempotencyKey, line.holdId, line)
    if kind == "extend":
        line = BatchExtend.__pydantic_validator__.validate_python(raw)
        return hold_ref(line.holdId), extend_of(caller, line.idempotencyKey, line.holdId, line)
    line = BatchVoid.__pydantic_validator__.validate_python(raw)
    return hold_ref(line.holdId), void_of(caller, line.idempotencyKey, line.holdId, line)


def hold_of(operation_types: OperationTypes, caller: Caller, key: str, body: HoldBody) -> Hold:
    """The operation that a hold's body asks for.

    Raises the problem 422 where `creditsMin` is more than `credits`.
    """
    operation_types.require(body.operationType)
    tokens = _needed_tokens_of(body.credits, body.tokens)
    if body.creditsMin is not None and body.credits is not None and body.creditsMin > body.credits:
        raise unacceptable("creditsMin", "creditsMin must not be more than credits.")
    return Hold(
        key, caller.key_id, body.operationType, body.credits or 0, details_text(body.details), body.creditsMin,
        body.expiresIn, body.lease, body.onLapse, body.reference, body.onBehalfOf, body.model, tokens,
    )  # fmt: skip


def capture_of(caller: Caller, key: str, hold_id: str, body: CaptureBody) -> Capture:
    """The operation that a capture's body asks for. Raises the problems 404 and 422."""
    if body.credits == 0 and not body.final:
        raise unacceptable("credits", "A capture of 0 credits must be final: it gives back what is held.")
    tokens = _needed_tokens_of(body.credits, body.tokens)
    if body.model is not None and tokens is None:
        raise unacceptable("model", "model is for tokens: send them, or leave it out.")
    return Capture(
        key, caller.key_id, hold_id, hold_seq(hold_id), body.credits or 0, details_text(body.details), body.final,
        body.overage, body.model, tokens,
    )  # fmt: skip


def _tokens_of(credits: int | None, body: TokensBody | None) -> Tokens | None:
    """The counts of a body. Raises the problem 422 where it names credits too."""
    if body is None:
        return None
    if credits is not None:
        raise unacceptable("tokens", "Send credits or tokens, not both.")
    return Tokens(body.uncachedInput, body.cachedInput, body.cacheWrite, body.output)


def _needed_tokens_of(credits: int | None, body: TokensBody | None) -> Tokens | None:
    """The same where one of both is needed."""
    if credits is None and body is None:
        raise unacceptable("credits", "Send credits or tokens.")
    return _tokens_of(credits, body)


def extend_of(caller: Caller, key: str, hold_id: str, body: ExtendBody) -> Extend:
    """The operation that an extend's body asks for. Raises the problems 404 and 422."""
    if body.credits is None and body.expiresIn is None:
        raise unacceptable("credits", "Send credits to hold more, expiresIn to hold for longer, or both.")
    seq = hold_seq(hold_id)
    return Extend(key, caller.key_id, hold_id, seq, body.credits or 0, body.expiresIn, details_text(body.details))


def void_of(caller: Caller, key: str, hold_id: str, body: VoidBody) -> Void:
    """The operation that a void's body asks for. Raises the problem 404."""
    return Void(key, caller.key_id, hold_id, hold_seq(hold_id), details_text(body.details))


def hold_seq(hold_id: str) -> int:
    """The seq in a hold's id. Raises the problem 404 `hold_not_found` for what is no id."""
    named = parse_entry_id(hold_id)
    if named is None:
        raise Problem(404, "hold_not_found", "No such hold", f"There is no hold {hold_id}.", holdId=hold_id)
    return named[1]


def hold_ref(hold_id: str) -> str:
    """How the engine is told whose mailbox it is: by the hold."""
    return f"{HOLD_PREFIX}{hold_id}"


def details_with(details: dict[str, Any] | None, reason: str | None) -> str | None:
    """Details with the reason among them, where statements show it.

    Raises the problem 422 where both name one.
    """
    if reason is None:
        return details_text(details)
    if details is not None and "reason" in details:
        raise unacceptable("reason", "details holds a reason already: send one of the two.")
    return details_text({**(details or {}), "reason": reason})
