"""Days and months of time zones: contiguous, half-open, whatever clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pedro_ledger.ledger.windows import Length, midnight_ms, span_at

HARD = [
    "UTC", "America/Sao_Paulo", "America/Toronto", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Asia/Gaza",
    "Pacific/Apia", "Antarctica/Troll", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kathmandu",
]  # fmt: skip


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@given(
    at_ms=st.integers(0, ms("2099-01-01T00:00:00Z")),
    zone=st.sampled_from(HARD),
    length=st.sampled_from(["day", "month"]),
)
def test_every_moment_is_in_exactly_one_window(at_ms: int, zone: str, length: Length) -> None:
    span = span_at(at_ms, length, zone)
    assert span.start_ms <= at_ms < span.end_ms
    assert span_at(span.end_ms, length, zone).start_ms == span.end_ms
    assert span_at(span.start_ms - 1, length, zone).end_ms == span.start_ms


@pytest.mark.parametrize("zone", HARD)
def test_windows_begin_where_the_clock_shows_a_new_day(zone: str) -> None:
    """Every day of two years, hour by hour: the day of the window is that of the clock, unless
    clocks go back over midnight.
    """
    at = datetime(2018, 1, 1, tzinfo=UTC)
    seen: dict[int, set[str]] = {}
    while at.year < 2020:
        day = at.astimezone(ZoneInfo(zone)).date().isoformat()
        seen.setdefault(span_at(round(at.timestamp() * 1000), "day", zone).start_ms, set()).add(day)
        at += timedelta(hours=1)
    assert all(len(days) == 1 for days in seen.values()) or zone in {"America/Sao_Paulo", "America/Havana"}


@pytest.mark.parametrize(
    ("day", "zone", "expected"),
    [
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),  # 00:00 does not exist: 01:00 is the first
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00Z"),  # the whole day does not exist
        ("2018-11-04", "America/Havana", "2018-11-04T04:00:00Z"),  # 00:00 exists twice
        ("1919-03-31", "America/Toronto", "1919-03-31T04:30:00Z"),  # clocks jump from 23:30 to 00:30
        ("2024-02-29", "Asia/Kathmandu", "2024-02-28T18:15:00Z"),
    ],
)
def test_midnights_that_do_not_exist_or_exist_twice(day: str, zone: str, expected: str) -> None:
    assert midnight_ms(datetime.fromisoformat(day).date(), zone) == ms(expected)


def test_months_follow_each_other_through_leap_years() -> None:
    start, seen = ms("2024-01-31T23:59:59Z"), []
    for _ in range(15):
        span = span_at(start, "month", "UTC")
        seen.append((span.end_ms - span.start_ms) // 86_400_000)
        start = span.end_ms
    assert seen == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28, 31]


def test_a_zone_that_does_not_exist() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        span_at(0, "day", "Mars/Olympus")
