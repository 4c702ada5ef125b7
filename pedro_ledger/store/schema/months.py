"""Which months the partitions of the app's history cover, and the statements that make the missing
ones. No I/O.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

TABLE = "UsageHistory"
REST = f"{TABLE}_other"
"""The partition of every time that has no month: where nobody made the months in time, writes go on
into it.
"""
MONTHS_AHEAD = 3
MARGIN = timedelta(days=2)
"""The first bound is this far ahead at least: until the table is turned, a row beyond it would be
refused.
"""
_TRUNCATE_GUARD = (
    "CREATE TRIGGER usage_history_is_not_truncated BEFORE TRUNCATE ON {name} FOR EACH STATEMENT EXECUTE FUNCTION "
    "pedro_ledger.refuse('pedro_ledger: usage history is immutable and is never truncated')"
)


class Partition(NamedTuple):
    """One of the table's partitions: from `starts` (None: from ever) to before `ends`, UTC without
    a zone.
    """

    name: str
    starts: datetime | None
    ends: datetime | None
    is_default: bool


def month_of(moment: datetime) -> datetime:
    """The beginning of its month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(moment: datetime) -> datetime:
    """The beginning of the month after."""
    return month_of(month_of(moment) + timedelta(days=32))


def first_bound(at: datetime, newest: datetime | None) -> datetime:
    """Where the old table is to end: after every row that it has, and after every one that may come
    while it is turned.
    """
    return next_month(max(at + MARGIN, newest or at))


def old_name(bound: datetime) -> str:
    """What the old table is called as a partition."""
    return f"{TABLE}_before_{bound:%Y_%m}"


def make_months(first: datetime, at: datetime) -> list[str]:
    """The statements for the months from `first` on to `MONTHS_AHEAD` after the month of `at`."""
    last = at
    for _ in range(MONTHS_AHEAD):
        last = next_month(last)
    statements, month = [], first
    while month <= last:
        statements += make_partition(
            f"{TABLE}_{month:%Y_%m}", f"FROM ('{month:%Y-%m-%d}') TO ('{next_month(month):%Y-%m-%d}')"
        )
        month = next_month(month)
    return statements


def make_partition(name: str, bounds: str | None) -> list[str]:
    """The statements for one new partition with its guard; without bounds, that of all other
    times.
    """
    place = f'public."{name}"'
    values = f"FOR VALUES {bounds}" if bounds else "DEFAULT"
    return [
        f'CREATE TABLE {place} PARTITION OF public."{TABLE}" {values}',
        _TRUNCATE_GUARD.format(name=place),
    ]


def missing_months(partitions: Sequence[Partition], newest_elsewhere: datetime | None, at: datetime) -> list[str]:
    """The statements that bring the table up to date, none where it is.

    `newest_elsewhere` is the newest row of the partition of all other times: it then becomes the
    partition of the months that its rows are of, for rows are never moved.
    """
    starts = max(each.ends for each in partitions if each.ends is not None)
    statements = []
    if newest_elsewhere is not None:
        ends = next_month(newest_elsewhere)
        taken = f"{TABLE}_{starts:%Y_%m}_to_{newest_elsewhere:%Y_%m}"
        statements += [
            f'ALTER TABLE public."{TABLE}" DETACH PARTITION public."{REST}"',
            f'ALTER TABLE public."{REST}" RENAME TO "{taken}"',
            f'ALTER TABLE public."{TABLE}" ATTACH PARTITION public."{taken}" '
            f"FOR VALUES FROM ('{starts:%Y-%m-%d}') TO ('{ends:%Y-%m-%d}')",
            *make_partition(REST, None),
        ]
        starts = ends
    return statements + make_months(starts, at)
