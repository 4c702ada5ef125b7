"""Reading the reports: each one query over its rollup and what is not folded into it yet."""

from datetime import date
from typing import Any

from pedro_ledger.store.replica import Reader
from pedro_ledger.store.rows import Row
from pedro_ledger.store.sqlfiles import SqlFiles

_SQL = SqlFiles("reports")
LOW_BALANCES = (1, 10, 50, 100)
"""Levels that low balances are counted below; each is the least balance of a band in the rollup."""


class ReportReader:
    """Days are those of UTC; `until` is the day after the last one. `limit` None gives every row."""

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
        return await self._read(_SQL["read_top_users_of_days"], *days, operation_type, limit)

    async def low_balance(self, limit: int | None) -> list[Row]:
        """How many balances are below each of `LOW_BALANCES`."""
        return await self._read(_SQL["read_low_balance"], LOW_BALANCES, limit)

    async def liability(self) -> list[Row]:
        """What is owed to users, in one row."""
        return await self._read(_SQL["read_liability"])

    async def _read(self, query: str, *arguments: Any) -> list[Row]:
        return [dict(row) for row in await self._reader.fetch(query, *arguments)]
