"""The clients' side of a trial: their journals, read back as one history an idempotency key.

Shares no code with pedro_ledger, and knows of its contract only what API.md tells a caller.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

NEVER = float("inf")
REMEMBERED = {"insufficient_credits", "refund_exceeds_entry"}
"""Refusals that are repeated under their key for ever: no entry may ever come of one."""

APPLIED, REFUSED, NOT_APPLIED, UNKNOWN, REUSED = "applied", "refused", "not applied", "unknown", "reused"


class Attempt:
    """One operation in one request.

    Times in nanoseconds on one clock; `told_at` is NEVER without an answer.
    """

    __slots__ = ("answer", "ask", "sent_at", "told_at", "verdict")

    def __init__(self, ask: list[Any], sent_at: int) -> None:
        self.ask = tuple(ask)
        self.sent_at = sent_at
        self.told_at: float = NEVER
        self.answer: list[Any] | None = None
        self.verdict = UNKNOWN

    def tell(self, answer: list[Any], at: int) -> None:
        self.answer = answer
        self.verdict = verdict_of(answer[0], answer[1], answer[2])
        if self.verdict != UNKNOWN:
            self.told_at = at

    @property
    def request(self) -> tuple[Any, ...]:
        """What was asked, without the key."""
        return self.ask[2:]


def verdict_of(status: int, code: str | None, outcome: str | None) -> str:
    """What a caller may conclude from an answer about this attempt."""
    if status in {200, 201}:
        return APPLIED
    if code in REMEMBERED:
        return REFUSED
    if code == "idempotency_key_reused":
        return REUSED
    if status == 503 and outcome != "unknown" and code in {"overloaded", "unavailable"}:
        return NOT_APPLIED
    return NOT_APPLIED if 400 <= status < 500 else UNKNOWN


class Read:
    """A balance that a client was told."""

    __slots__ = ("balance", "sent_at", "seq", "told_at")

    def __init__(self, sent_at: int, told_at: int, seq: int, balance: int) -> None:
        self.sent_at, self.told_at, self.seq, self.balance = sent_at, told_at, seq, balance


class UserHistory:
    """Everything that was asked for one user."""

    def __init__(self) -> None:
        self.start: tuple[str, int] | None = None
        """Kind and credits of the first entry."""
        self.attempts: dict[str, list[Attempt]] = {}
        """By idempotency key, in the order in which they were sent."""
        self.reads: list[Read] = []


def read_journals(paths: Iterable[Path]) -> dict[str, UserHistory]:
    """Every user's history from the journals of one trial."""
    histories: dict[str, UserHistory] = {}
    for path in paths:
        under_way: dict[int, list[Attempt]] = {}
        with path.open("rb") as lines:
            for line in lines:
                _take(orjson.loads(line), histories, under_way)
    return histories


def _take(line: list[Any], histories: dict[str, UserHistory], under_way: dict[int, list[Attempt]]) -> None:
    match line:
        case ["sent", at, number, asks]:
            attempts = under_way[number] = [Attempt(ask, at) for ask in asks]
            for attempt in attempts:
                history = histories.setdefault(attempt.ask[0], UserHistory())
                history.attempts.setdefault(attempt.ask[1], []).append(attempt)
        case ["told", at, number, answers]:
            attempts = under_way.pop(number)
            assert len(attempts) == len(answers), "an answer for each operation"
            for attempt, answer in zip(attempts, answers, strict=True):
                attempt.tell(answer, at)
        case ["read", sent_at, told_at, user, seq, balance]:
            histories.setdefault(user, UserHistory()).reads.append(Read(sent_at, told_at, seq, balance))
        case ["user", user, kind, credits]:
            histories.setdefault(user, UserHistory()).start = (kind, credits)
        case _:
            raise ValueError(f"a journal holds no such line: {line}")
