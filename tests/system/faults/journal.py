"""What clients asked and what they were told, written down as it happens: one JSON line each, with
monotonic time in nanoseconds.

A line is written before its request leaves and after its answer came, so that whatever is killed in
between, the journal knows at least what was asked. The clock is the machine's: journals of several
processes can be laid side by side.
"""

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import monotonic_ns
from typing import Any, NamedTuple

import orjson


class Ask(NamedTuple):
    """One operation as a client asks for it: `type` is `deduct`, `refund` or `grant`."""

    user: str
    key: str
    type: str
    credits: int | None
    entry: str | None = None
    """The entry that a refund names."""


class Told(NamedTuple):
    """What a client was told of one operation.

    `status` 0: the connection ended without an answer.
    """

    status: int
    code: str | None = None
    outcome: str | None = None
    """What a 503 says of the operation: `unknown` or `not_applied`."""
    entry: str | None = None
    seq: int | None = None
    credits: int | None = None
    balance: int | None = None
    """`creditsRemaining` of a receipt, `creditsAvailable` or `creditsRefundable` of a refusal."""


class Journal:
    """Appends to a file, unbuffered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._attempts = count(1)
        self.acknowledged = 0
        self.refused = 0
        self.unanswered = 0

    def close(self) -> None:
        os.close(self._file)

    def user(self, user: str, kind: str, credits: int) -> None:
        """The user starts with `credits`, by a `grant` (the signup's) or an `opening`."""
        self._write(["user", user, kind, credits])

    def sent(self, asks: Sequence[Ask]) -> int:
        """A request leaves; its number, by which its answer is told."""
        attempt = next(self._attempts)
        self._write(["sent", monotonic_ns(), attempt, asks])
        return attempt

    def told(self, attempt: int, answers: Sequence[Told]) -> None:
        """An answer came, or the connection broke."""
        for answer in answers:
            if answer.status == 201:
                self.acknowledged += 1
            elif answer.status == 0 or answer.outcome == "unknown":
                self.unanswered += 1
            else:
                self.refused += 1
        self._write(["told", monotonic_ns(), attempt, answers])

    def read(self, sent_at: int, user: str, seq: int, balance: int) -> None:
        """A balance was read; `sent_at` in nanoseconds."""
        self._write(["read", sent_at, monotonic_ns(), user, seq, balance])

    def _write(self, line: list[Any]) -> None:
        os.write(self._file, orjson.dumps(line, default=list, option=orjson.OPT_APPEND_NEWLINE))


def told_of(status: int, body: dict[str, Any]) -> Told:
    """What an answer (or one result of a batch) says."""
    if status == 201:
        return Told(201, None, None, body["entryId"], body["seq"], body["credits"], body["creditsRemaining"])
    balance = body.get("creditsAvailable", body.get("creditsRefundable"))
    return Told(status, body.get("code"), body.get("outcome"), None, None, None, balance)
