"""What the engine answers, as HTTP: the receipt, or the problem that tells of the error."""

from pedro_ledger.api.http.problems import Problem, problem_of
from pedro_ledger.api.http.responses import Response, json_response, receipt_json
from pedro_ledger.api.schemas.answers import Receipt
from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.errors import LedgerError

REPLAYED = {"Idempotency-Replayed": "true"}
ANSWERED_BEFORE = " That is what its idempotency key was answered before. To try anew, send it with a new key."


def receipt_response(answer: Answer) -> Response[Receipt]:
    """201 with the receipt; the same again when it is a replay. Raises the problem of a refusal."""
    raise_problem(answer)
    assert answer.receipt is not None, "an answer is a receipt or an error"
    return json_response(receipt_json(answer.receipt), 201, REPLAYED if answer.replayed else None)


def raise_problem(answer: Answer) -> None:
    """Raises the problem of a refusal."""
    if answer.error is not None:
        raise problem_of_answer(answer, answer.error)


def problem_of_answer(answer: Answer, error: LedgerError) -> Problem:
    """The problem of a refusal; one that is repeated says so, and how to try anew."""
    problem = problem_of(error)
    if answer.replayed:
        problem.headers.update(REPLAYED)
        problem.facts["replayed"] = True
        problem.detail += ANSWERED_BEFORE
    return problem
