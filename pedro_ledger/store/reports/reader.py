"""Reading the reports: each one query over its rollup and what is not rolled up yet."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

import orjson

from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.store.journal.rows import Row

_SQL = SqlFiles("reports")
LOW_BALANCES = (1, 10, 50, 100)
"""Levels that low balances are counted below; each is the least balance of a band in the rollup."""
SPANS = (28, 7, 1)
"""Days of the spans that a user's use is summed up in; each size is a multiple of the next."""


class ReportReader:
    """Days are those of UTC; `until` is the day after the last one. `limit` None gives every
    row.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def user_growth(self, since: date | None, until: date | None, limit: int | None) -> list[Row]:
        """New users a day, newest day first."""
        return await self._read(_SQL["read_user_growth"], since or date.min, until or date.max, limit)

    async def usage_by_day(
        self, since: date | None, until: date | None, operation_type: str | None, limit: int | None
    ) -> list[Row]:
        """Uses and credits by day and operation type, newest day first."""
        days = since or date.min, until or date.max
        return await self._read(_SQL["read_usage_by_day"], *days, operation_type, limit)

    async def top_operations(
        self, since: date | None, until: date | None, operation_type: str | None, limit: int | None
    ) -> list[Row]:
        """Operation types by how often they were used."""
        days = since or date.min, until or date.max
        return await self._read(_SQL["read_top_operations"], *days, operation_type, limit)

    async def top_users(
        self, since: date | None, until: date | None, operation_type: str | None, limit: int | None
    ) -> list[Row]:
        """Users by credits used, most first."""
        if since is None and until is None:
            return await self._read(_SQL["read_top_users"], operation_type, limit)
        days = since or date.min, until or date.max
        sizes, firsts, ends = zip(*spans(since, until), strict=True)
        return await self._read(_SQL["read_top_users_of_days"], *days, sizes, firsts, ends, operation_type, limit)

    async def low_balance(self, limit: int | None) -> list[Row]:
        """How many balances are below each of `LOW_BALANCES`."""
        return await self._read(_SQL["read_low_balance"], LOW_BALANCES, limit)

    async def liability(self) -> list[Row]:
        """What is owed to users, in one row."""
        return await self._read(_SQL["read_liability"])

    async def breakage(self, since: date | None, until: date | None, limit: int | None) -> list[Row]:
        """Credits that expired unused, by month and source, newest month first."""
        return await self._read(_SQL["read_breakage"], *_moments(since, until), limit)

    async def holds(self, since: date | None, until: date | None) -> list[Row]:
        """Open holds, and how holds of some days ended that nobody captured in full, in one row."""
        return await self._read(_SQL["read_holds"], *_moments(since, until))

    async def what_if(
        self,
        since: datetime,
        until: datetime,
        costs: Mapping[str, Any],
        token_prices: Mapping[str, Any],
        limit: int,
    ) -> list[Row]:
        """Charges of a span of time, and what they would be by other prices, as
        `read_what_if.sql` says; it reads every entry.
        """
        texts = orjson.dumps(costs).decode(), orjson.dumps(token_prices).decode()
        return await self._read(_SQL["read_what_if"], since, until, *texts, limit)

    async def operation_types(self) -> list[str]:
        """The app's operation types, by which some reports can be narrowed."""
        return [row["name"] for row in await self._read(_SQL["list_operation_types"])]

    async def _read(self, query: str, *arguments: Any) -> list[Row]:
        return [dict(row) for row in await self._reader.fetch(query, *arguments)]


def _moments(since: date | None, until: date | None) -> tuple[datetime, datetime]:
    """Days as times without zone, UTC."""
    return datetime.combine(since or date.min, time.min), datetime.combine(until or date.max, time.min)


def spans(since: date | None, until: date | None) -> list[tuple[int, date, date]]:
    """Few spans that make up the days from `since` before `until`: how many days each has, the
    first one, and where they end.

    They are counted from the first day that there is, so they begin where a rollup's row may begin.
    """
    first = since.toordinal() - 1 if since is not None else 0
    end = until.toordinal() - 1 if until is not None else None
    found = _spans(first, end, SPANS) or [(1, first, first)]
    return [(size, _day(low), _day(high)) for size, low, high in found]


def _spans(first: int, end: int | None, sizes: tuple[int, ...]) -> list[tuple[int, int, int | None]]:
    size, *smaller = sizes
    low = -(-first // size) * size
    high = None if end is None else end // size * size
    if high is not None and high <= low:
        return _spans(first, end, tuple(smaller)) if smaller else []
    found = [(size, low, high)]
    if first < low:
        found += _spans(first, low, tuple(smaller))
    if high is not None and end is not None and high < end:
        found += _spans(high, end, tuple(smaller))
    return found


def _day(ordinal: int | None) -> date:
    return date.max if ordinal is None or ordinal >= date.max.toordinal() - 1 else date.fromordinal(ordinal + 1)
