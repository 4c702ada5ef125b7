"""A schedule of recurring grants, and the grant of each of its periods."""

from typing import NamedTuple

from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.operations import Closes, Grant
from pedro_ledger.ledger.periods import Periods

RECURRING_KEY = "§recur:"
ACTOR = "schedule"


class Schedule(NamedTuple):
    """A user's credits of every period. Its grants are the same, keys included, whoever asks."""

    user_id: str
    id: str
    generation: int
    """Moves when its periods are counted anew."""
    credits: int
    source: str
    priority: int | None
    rollover: Rollover | None
    periods: Periods
    next_number: int
    """The period that is granted next, at the earliest."""
    granted_number: int | None = None
    """The newest period that was granted, and its entry."""
    granted_seq: int | None = None

    def key(self, number: int) -> str:
        """The idempotency key of a period's grant."""
        name = self.id if self.generation == 0 else f"{self.id}:{self.generation}"
        return f"{RECURRING_KEY}{name}:{number}"

    def grant(self, number: int) -> Grant:
        """The grant of period `number`, which ends with the period.

        Where what is left rolls over into the next period, the grant says when that ends, and which
        one it follows itself.
        """
        grant = Grant(
            self.key(number), ACTOR, self.credits, self.source, expires_at_ms=self.periods.end_ms(number),
            priority=self.priority, rollover=self.rollover,
        )  # fmt: skip
        if self.rollover is None or self.rollover.expires_in_ms is not None:
            return grant
        closes = None
        if self.granted_seq is not None and self.granted_number is not None:
            closes = Closes(self.granted_seq, self.periods.end_ms(self.granted_number))
        return grant._replace(closes=closes, next_ends_ms=self.periods.end_ms(number + 1))
