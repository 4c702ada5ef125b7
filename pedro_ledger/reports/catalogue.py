"""Every report on one screen: what it tells, what it takes, how its rows are told."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from pedro_ledger.ledger.times import moment_text
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
        "Credits owed to users: all, how many of them are held, and how many end within 7, 30 and 90 days; and what the app "
        "let users overdraw.",
        frozenset(),
        (
            "users",
            "creditsOwed",
            "creditsHeld",
            "creditsAvailable",
            "creditsOverdrawn",
            "creditsExpiring7Days",
            "creditsExpiring30Days",
            "creditsExpiring90Days",
        ),
        lambda reader, asked: reader.liability(),
        lambda row: {
            "users": row["users"],
            "creditsOwed": row["owed"],
            "creditsHeld": row["held"],
            "creditsAvailable": row["owed"] - row["held"],
            "creditsOverdrawn": row["overdrawn"],
            "creditsExpiring7Days": row["days_7"],
            "creditsExpiring30Days": row["days_30"],
            "creditsExpiring90Days": row["days_90"],
        },
    ),
    "breakage": Report(
        "Credits that expired unused, less what of them rolled over, by month and source of their grant, newest month first.",
        _DAYS,
        ("month", "source", "creditsExpired", "creditsRolledOver"),
        lambda reader, asked: reader.breakage(asked.since, asked.until, asked.limit),
        lambda row: {
            "month": row["month"].isoformat()[:7],
            "source": row["source"],
            "creditsExpired": row["credits"],
            "creditsRolledOver": row["rolled_over"],
        },
    ),
    "holds": Report(
        "Open holds, what they hold and since when the oldest is open; of the days: holds that lapsed, what they still held, and "
        "credits that captures could not collect.",
        frozenset({"since", "until"}),
        ("holdsOpen", "creditsHeld", "oldestAt", "holdsLapsed", "creditsLapsed", "creditsUncollected"),
        lambda reader, asked: reader.holds(asked.since, asked.until),
        lambda row: {
            "holdsOpen": row["open"],
            "creditsHeld": row["held"],
            "oldestAt": None if row["oldest_ms"] is None else moment_text(row["oldest_ms"]),
            "holdsLapsed": row["lapsed"],
            "creditsLapsed": row["lapsed_credits"],
            "creditsUncollected": row["uncollected"],
        },
    ),
}
