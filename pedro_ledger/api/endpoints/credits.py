"""The calls that move credits: deduct, refund, grants, one at a time or many in a request."""

from pedro_ledger.api.answering import receipt_response
from pedro_ledger.api.asked import adjustment_of, batch_operation, deduct_of, grant_of, refund_of
from pedro_ledger.api.http.problems import Problem, problem_of
from pedro_ledger.api.http.rate_limits import RateLimits
from pedro_ledger.api.http.reading import idempotency_key, parse, read_json, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, receipt_json
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.answers import Receipt, Result, Results
from pedro_ledger.api.schemas.requests import AdjustmentBody, BatchBody, DeductBody, GrantBody, RefundBody
from pedro_ledger.engine.engine import Engine
from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.operations import Operation


async def deduct(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Take credits from a user."""
    key = idempotency_key(request)
    body = parse(DeductBody, await read_json(request))
    operation = deduct_of(operation_types, request.caller, key, body)
    return receipt_response(await engine.submit(user_ref(request), operation))


async def refund(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Give credits back to a user."""
    key = idempotency_key(request)
    body = parse(RefundBody, await read_json(request))
    operation = refund_of(operation_types, request.caller, key, body)
    return receipt_response(await engine.submit(user_ref(request), operation))


async def grant(request: Request, engine: Engine) -> Response[Receipt]:
    """Bring credits in for a user."""
    key = idempotency_key(request)
    body = parse(GrantBody, await read_json(request))
    return receipt_response(await engine.submit(user_ref(request), grant_of(request.caller, key, body)))


async def adjust(request: Request, engine: Engine) -> Response[Receipt]:
    """Correct a user's balance by hand, up or down."""
    key = idempotency_key(request)
    body = parse(AdjustmentBody, await read_json(request))
    return receipt_response(await engine.submit(user_ref(request), adjustment_of(request.caller, key, body)))


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
