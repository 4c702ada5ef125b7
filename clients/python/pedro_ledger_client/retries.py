"""When a call is sent again, and how long it waits before."""

from random import random
from typing import Any, Literal, NamedTuple

FIRST_S = 0.05
LONGEST_S = 2.0
TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed; all others are answers."""
_MAY_BE_APPLIED = frozenset({"unavailable", "not_the_ledger"})
"""Codes that leave open what became of the operation, unless they say so."""


class Backoff:
    """Pauses that double, each between nothing and its length, so that callers do not come back in
    step.
    """

    def __init__(self) -> None:
        self._length_s = FIRST_S

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The next pause: not shorter than the server asked for."""
        pause_s = at_least_s + self._length_s * random()  # noqa: S311 - spreads callers
        self._length_s = min(2 * self._length_s, LONGEST_S)
        return pause_s


class Failure(NamedTuple):
    """Why an attempt got no answer that stands."""

    reason: str
    outcome: Literal["not_applied", "unknown"]
    retry_after_s: float = 0.0


def transient(problem: dict[str, Any], retry_after: str | None = None) -> Failure | None:
    """The failure that a problem is; None where it is an answer."""
    if problem.get("status") not in TRANSIENT:
        return None
    told = problem.get("outcome")
    is_lost = told == "unknown" or (told is None and problem.get("code") in _MAY_BE_APPLIED)
    outcome: Literal["not_applied", "unknown"] = "unknown" if is_lost else "not_applied"
    after = retry_after or str(problem.get("retryAfter", 0))
    return Failure(f"{problem.get('code')}: {problem.get('detail')}", outcome, _seconds(after))


def _seconds(text: str) -> float:
    try:
        return max(0.0, min(float(text), 60.0))
    except ValueError:
        return 0.0
