"""On which terms the credits of a paid period are granted: when they end, and what they follow."""

import json
from typing import NamedTuple

from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.operations import Closes
from pedro_ledger.ledger.periods import Periods, PeriodUnit

LATE_MIN_MS = 3_600_000
LATE_LASTS_MS = 86_400_000
"""Credits that come when their period is over, or so long before its end, last so long at least."""
CYCLES: dict[str, tuple[PeriodUnit, int]] = {
    "WEEKLY": ("day", 7),
    "BIWEEKLY": ("day", 14),
    "MONTHLY": ("month", 1),
    "BIMONTHLY": ("month", 2),
    "QUARTERLY": ("month", 3),
    "SEMIANNUALLY": ("month", 6),
    "YEARLY": ("month", 12),
}
"""How long the periods of Asaas's subscriptions are."""
CYCLE_ZONE = "America/Sao_Paulo"


class PlanTerms(NamedTuple):
    """What is set for all plans: how long credits outlast their period, for payments that come
    late, and the rule for what is left when the next period is paid.
    """

    grace_ms: int
    rollover: Rollover | None

    def of_period(self, ends_ms: int, closes: Closes | None, now_ms: int) -> "GrantTerms":
        """The terms of a period that ends at `ends_ms`, granted now (milliseconds since 1970).

        A customer whose credits come too late, whatever the reason, has time to use them.
        """
        expires_ms = ends_ms + self.grace_ms
        if expires_ms < now_ms + LATE_MIN_MS:
            expires_ms = now_ms + max(self.grace_ms, LATE_LASTS_MS)
        return GrantTerms(expires_ms, closes, self.rollover)


class GrantTerms(NamedTuple):
    """The terms of one period's grant. They are fixed before it is asked for, so that whoever asks
    again asks for the same.
    """

    expires_ms: int
    closes: Closes | None
    rollover: Rollover | None

    def as_text(self) -> str:
        """As the period's row keeps them."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> "GrantTerms":
        """What `as_text` wrote."""
        expires_ms, closes, rollover = json.loads(text)
        return cls(expires_ms, closes and Closes(*closes), rollover and Rollover(*rollover))


def cycle_end_ms(start_ms: int, cycle: str | None) -> int | None:
    """When a period of an Asaas subscription ends that begins at `start_ms`; None where its length
    is not known.
    """
    if cycle not in CYCLES:
        return None
    unit, every = CYCLES[cycle]
    return Periods(start_ms, unit, every, CYCLE_ZONE).end_ms(0)
