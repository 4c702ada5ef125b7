"""Recurring periods: months or days, always counted from their anchor.

Periods are half-open, follow each other without a gap, and every moment is in exactly one. A month
that lacks the anchor's day has its last day instead: 31 January, 28 February, 31 March. In a time
zone they begin at the anchor's time of day: one that the clocks skip is the first moment after the
gap, one that comes twice is the first of the two.
"""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

PeriodUnit = Literal["month", "day"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAYS_OF: dict[PeriodUnit, float] = {"month": 30.436875, "day": 1.0}
_LAST_YEAR = 9999


class Periods(NamedTuple):
    """The periods of one schedule. `anchor_ms` is when the first, number 0, begins (since 1970)."""

    anchor_ms: int
    unit: PeriodUnit = "month"
    every: int = 1
    """Units that one period has."""
    time_zone: str = "UTC"
    """A key of the IANA data base."""

    def start_ms(self, number: int) -> int:
        """When period `number` begins; that is when the one before ends."""
        if number == 0:
            return self.anchor_ms
        zone = ZoneInfo(self.time_zone)
        wall = (_EPOCH + self.anchor_ms * _MS).astimezone(zone).replace(tzinfo=None, fold=0)
        moved = _add(wall, self.unit, number * self.every)
        return _first_moment_ms(moved, zone)

    def end_ms(self, number: int) -> int:
        """When period `number` ends, exclusive."""
        return self.start_ms(number + 1)

    def number_at(self, at_ms: int) -> int:
        """The period that a moment is in; negative before the anchor."""
        days = (at_ms - self.anchor_ms) / 86_400_000
        number = int(days // (_DAYS_OF[self.unit] * self.every))
        while self.start_ms(number) > at_ms:
            number -= 1
        while self.start_ms(number + 1) <= at_ms:
            number += 1
        return number


def _add(wall: datetime, unit: PeriodUnit, count: int) -> datetime:
    if unit == "day":
        return wall + timedelta(days=count)
    year, month = divmod(wall.year * 12 + wall.month - 1 + count, 12)
    day = min(wall.day, calendar.monthrange(min(year, _LAST_YEAR), month + 1)[1])
    return wall.replace(year=year, month=month + 1, day=day)


def _first_moment_ms(wall: datetime, zone: ZoneInfo) -> int:
    """The first moment at which the clocks of a zone show a time, or one after it."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return (moment - _EPOCH) // _MS
    # The clocks skip it: find when they are put forward, which is between the two readings of it.
    low, high = (wall.replace(tzinfo=zone, fold=1).astimezone(UTC) - _EPOCH) // _MS, (moment - _EPOCH) // _MS
    offset = (_EPOCH + low * _MS).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if (_EPOCH + middle * _MS).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
