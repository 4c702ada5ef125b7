"""The calls that move credits: deduct, refund, grants, one at a time or many in a request."""

from typing import Any

from pydantic import ValidationError

from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem, problem_of
from pedro_ledger.api.http.rate_limits import RateLimits
from pedro_ledger.api.http.reading import details_text, idempotency_key, invalid_body, parse, read_json, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, receipt_json
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.answers import Receipt, Result, Results
from pedro_ledger.api.schemas.requests import (
    BatchBody,
    BatchDeduct,
    BatchGrant,
    BatchRefund,
    DeductBody,
    GrantBody,
    RefundBody,
)
from pedro_ledger.engine.engine import Engine
from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.ledger.operations import Deduct, Grant, Operation, Refund

REPLAYED = {"Idempotency-Replayed": "true"}


async def deduct(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Take credits from a user."""
    key = idempotency_key(request)
    body = parse(DeductBody, await read_json(request))
    return await _submit(request, engine, deduct_of(operation_types, request.caller, key, body))


async def refund(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Give credits back to a user."""
    key = idempotency_key(request)
    body = parse(RefundBody, await read_json(request))
    return await _submit(request, engine, refund_of(operation_types, request.caller, key, body))


async def grant(request: Request, engine: Engine) -> Response[Receipt]:
    """Bring credits in for a user."""
    key = idempotency_key(request)
    body = parse(GrantBody, await read_json(request))
    return await _submit(request, engine, grant_of(request.caller, key, body))


async def operations(
    request: Request, engine: Engine, operation_types: OperationTypes, limits: RateLimits | None
) -> Response[Results]:
    """Apply many operations, each with an answer of its own."""
    body = parse(BatchBody, await read_json(request))
    results: dict[int, Result] = {}
    asked: list[tuple[str, Operation]] = []
    places: list[int] = []
    for place, raw in enumerate(body.operations):
        try:
            user, operation = batch_operation(operation_types, request.caller, raw)
            if limits is not None:
                limits.take_operation(user, engine.loop.time())
            asked.append((user, operation))
            places.append(place)
        except Problem as problem:
            results[place] = {"status": problem.status, "error": problem.body()}
    for place, answer in zip(places, await engine.submit_many(asked), strict=True):
        results[place] = _result(answer)
    found: Results = {"results": [results[place] for place in range(len(body.operations))]}
    return json_response(found)


def deduct_of(operation_types: OperationTypes, caller: Caller, key: str, body: DeductBody) -> Deduct:
    """The operation that a deduct's body asks for."""
    operation_types.require(body.operationType)
    return Deduct(key, caller.key_id, body.operationType, body.credits, details_text(body.details))


def refund_of(operation_types: OperationTypes, caller: Caller, key: str, body: RefundBody) -> Refund:
    """The operation that a refund's body asks for.

    Raises the problem 422 when the body names neither or both ways to refund.
    """
    details = details_text(body.details)
    if body.entryId is not None:
        if body.operationType is not None:
            raise _refund_unclear("operationType", "entryId names the operation already; leave operationType out.")
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
        raise _refund_unclear(missing, "Send entryId, or operationType and credits to refund without an entry.")
    operation_types.require(body.operationType)
    return Refund(key, caller.key_id, None, None, body.operationType, body.credits, details)


def grant_of(caller: Caller, key: str, body: GrantBody) -> Grant:
    """The operation that a grant's body asks for."""
    return Grant(key, caller.key_id, body.credits, body.source, details_text(body.details))


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
            case _:
                raise Problem(
                    422,
                    "invalid_body",
                    "The body is not acceptable",
                    "type must be deduct, refund or grant.",
                    field="type",
                )
    except ValidationError as error:
        raise invalid_body(error) from None


async def _submit(request: Request, engine: Engine, operation: Operation) -> Response[Receipt]:
    answer = await engine.submit(user_ref(request), operation)
    headers = REPLAYED if answer.replayed else None
    if answer.error is not None:
        problem = problem_of(answer.error)
        if headers is not None:
            problem.headers.update(headers)
        raise problem
    assert answer.receipt is not None, "an answer is a receipt or an error"
    return json_response(receipt_json(answer.receipt), 201, headers)


def _result(answer: Answer) -> Result:
    if answer.receipt is not None:
        result: Result = {"status": 201, "receipt": receipt_json(answer.receipt)}
    else:
        assert answer.error is not None, "an answer is a receipt or an error"
        problem = problem_of(answer.error)
        result = {"status": problem.status, "error": problem.body()}
    if answer.replayed:
        result["replayed"] = True
    return result


def _refund_unclear(field: str, detail: str) -> Problem:
    return Problem(422, "invalid_body", "The body is not acceptable", detail, field=field)
