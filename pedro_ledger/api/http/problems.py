"""The one renderer of errors: RFC 9457 problems, and the table that gives each error its status."""

import math
from http import HTTPStatus
from typing import Any, cast

import orjson
from aiohttp import web

from pedro_ledger.api.schemas import answers
from pedro_ledger.ledger import errors as ledger

PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "/docs/errors#"
"""Relative to the daemon that answers, as RFC 9457 allows.

The daemon serves the page itself, so the link needs no other host.
"""


class Problem(Exception):
    """A request that cannot be served, with everything that its answer says."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.facts = facts

    def body(self) -> answers.Problem:
        """The problem as JSON, with the facts that help; `detail` names the field first that it is
        about.
        """
        detail, field = self.detail, self.facts.get("field")
        if isinstance(field, str) and not detail.startswith(field):
            detail = f"{field}: {detail}"
        problem: answers.Problem = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "code": self.code,
        }
        return cast(answers.Problem, problem | self.facts)


STATUS_BY_CODE: dict[str, int] = {
    ledger.InsufficientCredits.code: 402,
    ledger.SpendLimitExceeded.code: 402,
    ledger.LimitNotFound.code: 404,
    ledger.TooManyLimits.code: 409,
    ledger.TooManyStreams.code: 429,
    ledger.UserNotFound.code: 404,
    ledger.EntryNotFound.code: 404,
    ledger.RecurringGrantNotFound.code: 404,
    ledger.TooManyRecurringGrants.code: 409,
    ledger.BalanceNotKnown.code: 404,
    ledger.RefundExceedsEntry.code: 409,
    ledger.EntryNotRefundable.code: 409,
    ledger.BalanceLimitExceeded.code: 409,
    ledger.AccountFull.code: 409,
    ledger.Conflict.code: 409,
    ledger.TooManyOpenGrants.code: 409,
    ledger.TooManyOpenHolds.code: 409,
    ledger.HoldReferenceInUse.code: 409,
    ledger.HoldClosed.code: 409,
    ledger.HoldLapsed.code: 409,
    ledger.HoldNotFound.code: 404,
    ledger.CaptureExceedsHold.code: 422,
    ledger.GrantAlreadyExpired.code: 422,
    ledger.GrantEndsTooLate.code: 422,
    ledger.NoPrice.code: 422,
    ledger.IdempotencyKeyReused.code: 422,
    ledger.OperationRejected.code: 422,
    ledger.Overloaded.code: 503,
    ledger.Unavailable.code: 503,
    ledger.SchemaChanged.code: 503,
    ledger.Busy.code: 503,
}
"""Every error of the ledger has a line here; a test holds it complete."""

_OF_A_NEWER_VERSION = 409
"""Status of a remembered refusal whose code this version does not know."""
RETRY_AFTER_S = {
    ledger.Overloaded.code: 1,
    ledger.Unavailable.code: 2,
    ledger.Busy.code: 2,
    ledger.SchemaChanged.code: 5,
    ledger.TooManyStreams.code: 5,
}


def problem_of(error: ledger.LedgerError) -> Problem:
    """The problem that tells of an error of the ledger."""
    status = STATUS_BY_CODE.get(error.code, _OF_A_NEWER_VERSION)
    headers = {"Retry-After": str(RETRY_AFTER_S[error.code])} if error.code in RETRY_AFTER_S else None
    code = error.facts.get("code", error.code)
    facts = {name: fact for name, fact in error.facts.items() if name != "code"}
    return Problem(status, code, error.title, error.detail, headers=headers, **facts)


def problem_of_aiohttp(error: web.HTTPException) -> Problem:
    """The problem for what aiohttp itself refuses."""
    match error:
        case web.HTTPRequestEntityTooLarge():
            return body_too_large(None)
        case _:
            code = (error.reason or "error").lower().replace(" ", "_")
            return Problem(error.status, code, error.reason or "Error", error.text or error.reason or "")


def body_too_large(limit_bytes: int | None) -> Problem:
    """A body over the limit."""
    limit = f" The limit is {limit_bytes} bytes." if limit_bytes else ""
    return Problem(
        413,
        "body_too_large",
        "Body too large",
        f"The body is too large.{limit} Send fewer operations a request.",
    )


def internal_error() -> Problem:
    """Our own mistake; what it was is in the log only."""
    return Problem(
        500,
        "internal_error",
        "Internal error",
        "The daemon made a mistake; its log has the request id. The operation may have been applied: "
        "send the same request again with the same idempotency key.",
    )


BODY_NOT_READ = frozenset({408, 413, 415})
"""After these the rest of the body may still come: the connection cannot be used again."""


def render(problem: Problem) -> web.Response:
    """The answer that carries a problem."""
    response = web.Response(
        status=problem.status,
        body=orjson.dumps(problem.body(), default=_plain),
        content_type=PROBLEM_TYPE,
        headers=problem.headers,
    )
    if problem.status in BODY_NOT_READ:
        response.force_close()
    return response


def raw_answer(problem: Problem) -> bytes:
    """A whole HTTP answer that closes its connection, for one that gets no request of its own."""
    body = orjson.dumps(problem.body(), default=_plain)
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nContent-Type: {PROBLEM_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value)
