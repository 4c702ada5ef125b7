"""An operation on its way through the engine, and the answer that it is owed."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pedro_ledger.ledger.entries import Receipt
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.operations import Keyless, Operation
from pedro_ledger.ledger.units import Moved

CLERK_PREFIX = "clerk:"
"""A ref may name a Clerk id in place of a user: whoever owns it when the commit is made."""


class Answer(NamedTuple):
    """A receipt or an error; `replayed` when the key had been answered before."""

    receipt: Receipt | None
    error: LedgerError | None
    replayed: bool = False
    moved: Moved | None = None
    """In place of a receipt where the operation makes no entry."""


class InFlightCounter(Protocol):
    """Who counts the operations in flight."""

    def on_answered(self, operation: Operation | Keyless, answer: Answer) -> None:
        """One operation has its answer and is no longer in flight."""


class Submission:
    """One operation, and the future of the handler that waits for its answer."""

    __slots__ = ("counter", "deadline", "future", "in_doubt", "is_answered", "operation", "ref")

    def __init__(
        self, operation: Operation | Keyless, deadline: float, counter: InFlightCounter, future: asyncio.Future[Answer]
    ) -> None:
        self.operation = operation
        self.deadline = deadline
        self.counter = counter
        self.future = future
        self.is_answered = False
        self.in_doubt = False
        """A commit that holds it ended without an outcome."""

    ref: str
    """Whom it concerns, as its caller said."""

    @property
    def names_clerk_id(self) -> bool:
        """Whether it concerns whoever owns a Clerk id."""
        return self.ref.startswith(CLERK_PREFIX)

    def answer(self, answer: Answer) -> None:
        """Give the answer; a second one is ignored, for the deadline may have been faster."""
        if not self.is_answered:
            self.is_answered = True
            self.counter.on_answered(self.operation, answer)
            if not self.future.done():
                self.future.set_result(answer)


class BatchFuture:
    """The answers to one request of many operations: complete when each has its own."""

    __slots__ = ("answers", "future", "missing")

    def __init__(self, size: int, future: asyncio.Future[Sequence[Answer | None]]) -> None:
        self.answers: list[Answer | None] = [None] * size
        self.missing = size
        self.future = future

    def put(self, place: int, answer: Answer) -> None:
        """The answer to the operation at `place`, once."""
        self.answers[place] = answer
        self.missing -= 1
        if self.missing == 0 and not self.future.done():
            self.future.set_result(self.answers)


class BatchSubmission(Submission):
    """One operation of a request of many."""

    __slots__ = ("batch_future", "place")

    def __init__(
        self,
        operation: Operation | Keyless,
        deadline: float,
        counter: InFlightCounter,
        batch_future: BatchFuture,
        place: int,
    ) -> None:
        self.operation = operation
        self.deadline = deadline
        self.counter = counter
        self.is_answered = self.in_doubt = False
        self.batch_future = batch_future
        self.place = place

    def answer(self, answer: Answer) -> None:
        """Give the answer; a second one is ignored."""
        if not self.is_answered:
            self.is_answered = True
            self.counter.on_answered(self.operation, answer)
            self.batch_future.put(self.place, answer)
