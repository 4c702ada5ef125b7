"""What the engine answers, as HTTP: the receipt, or the problem that tells of the error."""

from pedro_ledger.api.http.problems import Problem, problem_of
from pedro_ledger.api.http.responses import Response, json_response, receipt_json
from pedro_ledger.api.schemas.answers import Receipt
from pedro_ledger.engine.submission import Answer

REPLAYED = {"Idempotency-Replayed": "true"}


def receipt_response(answer: Answer) -> Response[Receipt]:
    """201 with the receipt; the same again when it is a replay. Raises the problem of a refusal."""
    raise_problem(answer)
    assert answer.receipt is not None, "an answer is a receipt or an error"
    return json_response(receipt_json(answer.receipt), 201, REPLAYED if answer.replayed else None)


def raise_problem(answer: Answer) -> None:
    """Raises the problem of a refusal."""
    if answer.error is None:
        return
    problem: Problem = problem_of(answer.error)
    if answer.replayed:
        problem.headers.update(REPLAYED)
    raise problem
