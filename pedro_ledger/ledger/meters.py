"""Spend limits, and the meters that count what was spent in their windows.

A meter is known by what it counts, not by a limit: limits that count the same share one, and a
limit whose credits change goes on with what was spent.
"""

from typing import Literal, NamedTuple

from pedro_ledger.ledger.windows import UTC_ZONE, Length, span_at

Scope = Literal["user", "plan", "all"]


class Counts(NamedTuple):
    """What a meter counts: all that is spent in a day or month, or a part of it."""

    window: Length
    zone: str
    """IANA time zone in which days and months begin."""
    operation_type: str | None
    """None: of any type."""
    on_behalf_of: str | None
    """None: for anybody."""

    def match(self, operation_type: str | None, on_behalf_of: str | None) -> bool:
        """Whether spending of this type for this member counts."""
        return (self.operation_type is None or self.operation_type == operation_type) and (
            self.on_behalf_of is None or self.on_behalf_of == on_behalf_of
        )


class Limit(NamedTuple):
    """At most `credits` may be spent and held in a window."""

    id: str
    """Unique among the limits of a user, or among those of plans and of all."""
    credits: int
    window: Length
    zone: str = UTC_ZONE
    operation_type: str | None = None
    on_behalf_of: str | None = None
    scope: Scope = "user"

    @property
    def counts(self) -> Counts:
        """What it limits."""
        return Counts(self.window, self.zone, self.operation_type, self.on_behalf_of)


class Spending(NamedTuple):
    """What an entry adds to meters: negative for a refund, which counts where what it gives back
    did.
    """

    credits: int
    operation_type: str | None
    on_behalf_of: str | None
    spent_at_ms: int | None = None
    """Of a refund: when what it gives back was spent."""


class Meter(NamedTuple):
    """Credits that were spent in the window that starts at `start_ms`, milliseconds since 1970."""

    window: Length
    zone: str
    operation_type: str | None
    on_behalf_of: str | None
    start_ms: int
    spent: int

    @property
    def counts(self) -> Counts:
        """What it counts."""
        return Counts(self.window, self.zone, self.operation_type, self.on_behalf_of)

    @property
    def end_ms(self) -> int:
        """When it starts from 0 again."""
        return span_at(self.start_ms, self.window, self.zone).end_ms

    def at(self, at_ms: int) -> "Meter":
        """The meter at a moment: from 0 where a new window has begun.

        A clock that is behind counts into the window that has begun already.
        """
        start_ms = span_at(at_ms, self.window, self.zone).start_ms
        return self._replace(start_ms=start_ms, spent=0) if start_ms > self.start_ms else self

    def plus(self, spending: Spending) -> "Meter":
        """The meter after some spending in its window, if it counts that."""
        if not self.counts.match(spending.operation_type, spending.on_behalf_of):
            return self
        if spending.spent_at_ms is not None and spending.spent_at_ms < self.start_ms:  # of a window before
            return self
        return self._replace(spent=self.spent + spending.credits)


class MeterQuery(NamedTuple):
    """What to read from the entries: credits that were spent from `start_ms` on.

    Where entries are later than `end_ms`, which only a clock that is ahead made, those count.
    """

    counts: Counts
    start_ms: int
    end_ms: int


def counted(meters: tuple[Meter, ...], spending: Spending, at_ms: int) -> tuple[Meter, ...]:
    """Meters after what an entry made at `at_ms` spent or gave back; the same object where that
    changes none.
    """
    after = tuple([meter.at(at_ms).plus(spending) for meter in meters])
    return meters if after == meters else after
