"""Days and months of a time zone as spans of milliseconds since 1970, `[start, end)`.

They are contiguous: every moment is in exactly one. A midnight that does not exist, because clocks
are put forward over it, is the first moment after the gap; one that exists twice is the first.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Length = Literal["day", "month"]
UTC_ZONE = "UTC"


class Span(NamedTuple):
    """Milliseconds since 1970; `end_ms` is the start of the next."""

    start_ms: int
    end_ms: int


def span_at(at_ms: int, length: Length, zone: str) -> Span:
    """The day or month of the IANA time zone in which a moment is.

    Raises `ZoneInfoNotFoundError`, which is a `KeyError`, for a zone that does not exist.
    """
    known = _last.get((length, zone))
    if known is not None and known.start_ms <= at_ms < known.end_ms:
        return known
    clock = ZoneInfo(zone)
    first = datetime.fromtimestamp(at_ms / 1000, clock).date()
    if length == "month":
        first = first.replace(day=1)
    following = _next(first, length)
    if midnight_ms(following, zone) <= at_ms:  # its first midnight has been; clocks went back over it
        first, following = following, _next(following, length)
    span = Span(midnight_ms(first, zone), midnight_ms(following, zone))
    assert span.start_ms <= at_ms < span.end_ms, "every moment is in exactly one window"
    _last[length, zone] = span
    return span


_last: dict[tuple[Length, str], Span] = {}
"""The last one that was asked for of each kind: nearly every question is about now."""


def _next(first: date, length: Length) -> date:
    if length == "day":
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)


@lru_cache(maxsize=1024)
def midnight_ms(day: date, zone: str) -> int:
    """The first moment of a day in a time zone, in milliseconds since 1970."""
    clock = ZoneInfo(zone)
    wall = datetime.combine(day, time.min)
    early, late = sorted(_ms(wall.replace(tzinfo=clock, fold=fold)) for fold in (0, 1))
    if early == late or _wall(early, clock) == wall:
        return early
    # No clock shows it: what is wanted is the moment when clocks jump over it.
    while late - early > 1:
        middle = (early + late) // 2
        if _wall(middle, clock) < wall:
            early = middle
        else:
            late = middle
    return late


def _ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _wall(at_ms: int, clock: ZoneInfo) -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.astimezone(clock).replace(tzinfo=None)
