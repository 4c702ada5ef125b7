"""How a call fails: refused by the ledger, or not answered in time."""

from typing import Any, ClassVar, Literal


class LedgerError(Exception):
    """Everything that a call of the client raises."""


class Refused(LedgerError):
    """The ledger said no, and nothing was changed.

    `problem` is the answer (RFC 9457), with what helps beside `detail`: `creditsAvailable`,
    `field` and the like.
    """

    code_of_class: ClassVar[str | None] = None

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.problem = problem

    @property
    def code(self) -> str:
        """Stable: decide by it."""
        return str(self.problem["code"])

    @property
    def status(self) -> int:
        """As over HTTP."""
        return int(self.problem["status"])


class InsufficientCredits(Refused):
    """The user has not enough available: `creditsRequired`, `creditsAvailable`."""

    code_of_class = "insufficient_credits"


class SpendLimitExceeded(Refused):
    """A spend limit leaves too little: `limitId`, `creditsLeft`, `resetsAt`."""

    code_of_class = "spend_limit_exceeded"


class UserNotFound(Refused):
    """There is no such user."""

    code_of_class = "user_not_found"


class NoPrice(Refused):
    """Neither the user's plan nor the settings have a price for the operation."""

    code_of_class = "no_price"


class IdempotencyKeyReused(Refused):
    """The key was used for another request."""

    code_of_class = "idempotency_key_reused"


class HoldClosed(Refused):
    """The hold was captured or voided before."""

    code_of_class = "hold_closed"


class HoldLapsed(Refused):
    """The hold came to its end before."""

    code_of_class = "hold_lapsed"


class Unanswered(LedgerError):
    """No answer before the deadline.

    `outcome` is `not_applied` where it is certain that nothing was changed. Where it is `unknown`,
    the same call with the same `key` finds out.
    """

    def __init__(self, reason: str, outcome: Literal["not_applied", "unknown"], key: str | None) -> None:
        again = "" if key is None else f"; idempotency key {key}"
        super().__init__(f"{reason} (outcome: {outcome}{again})")
        self.reason = reason
        self.outcome = outcome
        self.key = key


_BY_CODE: dict[object, type[Refused]] = {each.code_of_class: each for each in Refused.__subclasses__()}


def refused(problem: dict[str, Any]) -> Refused:
    """The error of the class that the problem's code has."""
    return _BY_CODE.get(problem.get("code"), Refused)(problem)
