"""Periods from their anchor (property P11)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pedro_ledger.ledger.periods import Periods

ZONES = ("UTC", "America/Sao_Paulo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia")
units = st.sampled_from(["month", "day"])


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def wall(at_ms: int, zone: str) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("anchor", "starts"),
    [
        ("2027-01-31", ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]),
        ("2028-01-30", ["2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30", "2028-05-30"]),
        ("2028-02-29", ["2028-02-29", "2028-03-29", "2028-04-29", "2028-05-29", "2028-06-29"]),
        ("2027-12-28", ["2027-12-28", "2028-01-28", "2028-02-28", "2028-03-28", "2028-04-28"]),
    ],
)
def test_months_are_counted_from_the_anchor_and_clamped(anchor: str, starts: list[str]) -> None:
    periods = Periods(ms(anchor))
    assert [wall(periods.start_ms(number), "UTC")[:10] for number in range(5)] == starts
    assert wall(periods.start_ms(12), "UTC")[5:] == wall(periods.anchor_ms, "UTC")[5:].replace("02-29", "02-28")


def test_a_time_that_the_clocks_skip_is_the_first_moment_after_the_gap() -> None:
    periods = Periods(ms("2027-03-13T02:30:00", "America/New_York"), "day", 1, "America/New_York")
    assert [wall(periods.start_ms(number), "America/New_York") for number in (1, 2)] == [
        "2027-03-14T03:00:00", "2027-03-15T02:30:00",
    ]  # fmt: skip
    assert periods.start_ms(2) - periods.start_ms(1) == 23.5 * 3_600_000


def test_a_time_that_comes_twice_is_the_first_of_the_two() -> None:
    periods = Periods(ms("2027-11-06T01:30:00", "America/New_York"), "day", 1, "America/New_York")
    assert periods.start_ms(1) == ms("2027-11-07T05:30:00")
    assert periods.start_ms(2) - periods.start_ms(1) == 25 * 3_600_000


def test_a_day_that_a_zone_leaves_out_is_an_empty_one() -> None:
    """Samoa went from 29 to 31 December 2011."""
    periods = Periods(ms("2011-12-28T12:00:00", "Pacific/Apia"), "day", 1, "Pacific/Apia")
    starts = [wall(periods.start_ms(number), "Pacific/Apia") for number in range(4)]
    assert starts == ["2011-12-28T12:00:00", "2011-12-29T12:00:00", "2011-12-31T00:00:00", "2011-12-31T12:00:00"]


@settings(max_examples=300, deadline=None)
@given(
    anchor=st.integers(ms("1999-01-01"), ms("2040-12-31")), unit=units, every=st.integers(1, 12),
    zone=st.sampled_from(ZONES), number=st.integers(0, 240), part=st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_every_moment_is_in_exactly_one_period(
    anchor: int, unit: str, every: int, zone: str, number: int, part: float
) -> None:
    periods = Periods(anchor, unit, every, zone)  # type: ignore[arg-type]
    start, end = periods.start_ms(number), periods.end_ms(number)
    assert start < end == periods.start_ms(number + 1)
    moment = start + int((end - start) * part)
    assert periods.number_at(moment) == number
    assert periods.number_at(start) == number == periods.number_at(end - 1)
    assert periods.number_at(end) == number + 1
    assert start >= anchor
    if unit == "month":
        first, now = (datetime.fromisoformat(wall(each, zone)) for each in (anchor, start))
        assert (now.year - first.year) * 12 + now.month - first.month - number * every in {0, 1}, "no drift"
        assert now.day <= max(first.day, 1) + 1
