"""The calls that move credits: deduct, refund, grants, one at a time or many in a request.

No name holds a parsed body while its operation waits: JSON of 1 MB may be 20 MB of Python objects.
"""

from collections.abc import Callable

from pedro_ledger.api.answering import problem_of_answer, receipt_response
from pedro_ledger.api.asked import adjustment_of, batch_operation, deduct_of, grant_of, refund_of
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
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
    operation = deduct_of(operation_types, request.caller, key, parse(DeductBody, await read_json(request)))
    return receipt_response(await engine.submit(user_ref(request), operation))


async def refund(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[Receipt]:
    """Give credits back to a user."""
    key = idempotency_key(request)
    operation = refund_of(operation_types, request.caller, key, parse(RefundBody, await read_json(request)))
    return receipt_response(await engine.submit(user_ref(request), operation))


async def grant(request: Request, engine: Engine) -> Response[Receipt]:
    """Bring credits in for a user."""
    key = idempotency_key(request)
    operation = grant_of(request.caller, key, parse(GrantBody, await read_json(request)))
    return receipt_response(await engine.submit(user_ref(request), operation))


async def adjust(request: Request, engine: Engine) -> Response[Receipt]:
    """Correct a user's balance by hand, up or down."""
    key = idempotency_key(request)
    operation = adjustment_of(request.caller, key, parse(AdjustmentBody, await read_json(request)))
    return receipt_response(await engine.submit(user_ref(request), operation))


async def operations(
    request: Request, engine: Engine, operation_types: OperationTypes, limits: RateLimits | None
) -> Response[Results]:
    """Apply many operations, each with an answer of its own."""
    body = parse(BatchBody, await read_json(request))
    count = None if limits is None else await _counting(limits, engine.loop.time(), body)
    problems, asked = _asked(request.caller, operation_types, count, body)
    answering = engine.submit_many(asked)
    del body, asked
    answers = iter(await answering)
    found: Results = {"results": [problem or _result(next(answers)) for problem in problems]}
    return json_response(found)


async def _counting(limits: RateLimits, now: float, body: BatchBody) -> Callable[[str], None]:
    """Counts an operation for a user of the batch, and raises the problem 429."""
    named = (line.get("user") for line in body.operations if isinstance(line, dict))
    users = await limits.users_of({ref for ref in named if isinstance(ref, str) and "\0" not in ref})
    return lambda user: limits.take_operation(users.get(user, user), now)


def _asked(
    caller: Caller, operation_types: OperationTypes, count: Callable[[str], None] | None, body: BatchBody
) -> tuple[list[Result | None], list[tuple[str, Operation]]]:
    """For each line the result of what cannot be asked, or None; and what the others ask."""
    problems: list[Result | None] = []
    asked: list[tuple[str, Operation]] = []
    for raw in body.operations:
        try:
            user, operation = batch_operation(operation_types, caller, raw)
            if count is not None:
                count(user)
            asked.append((user, operation))
            problems.append(None)
        except Problem as problem:
            problems.append({"status": problem.status, "error": problem.body()})
    return problems, asked


def _result(answer: Answer) -> Result:
    if answer.receipt is not None:
        result: Result = {"status": 201, "receipt": receipt_json(answer.receipt)}
    else:
        assert answer.error is not None, "an answer is a receipt or an error"
        problem = problem_of_answer(answer, answer.error)
        result = {"status": problem.status, "error": problem.body()}
    if answer.replayed:
        result["replayed"] = True
    return result
