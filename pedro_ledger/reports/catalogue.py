"""Every report on one screen: what it tells, what it takes, how its rows are told."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from pedro_ledger.store.reports.reader import ReportReader

ReportRow = dict[str, Any]


class Asked(NamedTuple):
    """What a report is asked for. Days are those of UTC; `until` is the day after the last one."""

    since: date | None = None
    until: date | None = None
    operation: str | None = None
    limit: int | None = None


class Report(NamedTuple):
    """One report."""

    about: str
    takes: frozenset[str]
    columns: tuple[str, ...]
    read: Callable[[ReportReader, Asked], Awaitable[Sequence[ReportRow]]]
    tell: Callable[[ReportRow], ReportRow]

    async def rows(self, reader: ReportReader, asked: Asked) -> list[ReportRow]:
        """The report's rows. Raises `Unavailable`."""
        return [self.tell(row) for row in await self.read(reader, asked)]


_DAYS = frozenset({"since", "until", "limit"})
_USAGE = _DAYS | {"operation"}
TOP_USERS = 20
"""How many users are listed unless a limit is given."""


def _usage(row: ReportRow) -> ReportRow:
    return {
        "operationType": row["operation_type"],
        "uses": row["uses"],
        "creditsUsed": row["credits"],
        "averageCredits": float((Decimal(row["credits"]) / row["uses"]).quantize(Decimal("0.0001"), ROUND_HALF_UP)),
    }


REPORTS: dict[str, Report] = {
    "user-growth": Report(
        "New users a day, newest day first.",
        _DAYS,
        ("day", "users"),
        lambda reader, asked: reader.user_growth(asked.since, asked.until, asked.limit),
        lambda row: {"day": row["day"].isoformat(), "users": row["users"]},
    ),
    "top-operations": Report(
        "Operation types by uses, most first. Refunds count as uses of negative credits, as in the app's history.",
        _USAGE,
        ("operationType", "uses", "creditsUsed", "averageCredits"),
        lambda reader, asked: reader.top_operations(*asked),
        _usage,
    ),
    "low-balance": Report(
        "Users with fewer credits than 1, 10, 50 and 100.",
        frozenset({"limit"}),
        ("below", "users"),
        lambda reader, asked: reader.low_balance(asked.limit),
        lambda row: {"below": row["below"], "users": row["users"]},
    ),
    "usage-by-day": Report(
        "Uses and credits by day and operation type, newest day first.",
        _USAGE,
        ("day", "operationType", "uses", "creditsUsed", "averageCredits"),
        lambda reader, asked: reader.usage_by_day(*asked),
        lambda row: {"day": row["day"].isoformat(), **_usage(row)},
    ),
    "top-users": Report(
        "Users by credits used, most first.",
        _USAGE,
        ("userId", "uses", "creditsUsed"),
        lambda reader, asked: reader.top_users(*asked[:3], asked.limit or TOP_USERS),
        lambda row: {"userId": row["user_id"], "uses": row["uses"], "creditsUsed": row["credits"]},
    ),
    "liability": Report(
        "Credits owed to users: all, and how many of them are held; and what the app let users overdraw.",
        frozenset(),
        ("users", "creditsOwed", "creditsHeld", "creditsAvailable", "creditsOverdrawn"),
        lambda reader, asked: reader.liability(),
        lambda row: {
            "users": row["users"],
            "creditsOwed": row["owed"],
            "creditsHeld": row["held"],
            "creditsAvailable": row["owed"] - row["held"],
            "creditsOverdrawn": row["overdrawn"],
        },
    ),
}
