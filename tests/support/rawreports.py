"""Reports as plain queries over the app's own tables: what the rollups must equal."""

from datetime import date
from typing import Any

from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.reports.catalogue import REPORTS, TOP_USERS, Asked
from pedro_ledger.store.reports.reader import ReportReader

_USAGE = 'FROM "UsageHistory" WHERE "timestamp" >= $1::date AND "timestamp" < $2::date AND ($3::text IS NULL OR "operationType"::text = $3)'
_NUMBERS = 'count(*) AS uses, sum("creditsUsed")::bigint AS "creditsUsed"'
_AVERAGE = 'round(avg("creditsUsed"), 4)::float AS "averageCredits"'
_DAY = "to_char(\"timestamp\", 'YYYY-MM-DD')"
QUERIES = {
    "user-growth": """
        SELECT to_char(date_trunc('day', "createdAt"), 'YYYY-MM-DD') AS day, count(*) AS users FROM "User"
        WHERE "createdAt" >= $1::date AND "createdAt" < $2::date AND $3::text IS NULL GROUP BY 1 ORDER BY 1 DESC LIMIT $4""",
    "top-operations": f"""
        SELECT "operationType"::text, {_NUMBERS}, {_AVERAGE} {_USAGE} GROUP BY "operationType"
        ORDER BY uses DESC, "operationType"::text LIMIT $4""",
    "low-balance": """
        SELECT below, (SELECT count(*) FROM "CreditBalance" WHERE "creditsRemaining" < below) AS users
        FROM unnest(ARRAY[1, 10, 50, 100]) AS below
        WHERE $1::date < $2::date AND $3::text IS NULL ORDER BY below LIMIT $4""",
    "usage-by-day": f"""
        SELECT {_DAY} AS day, "operationType"::text, {_NUMBERS}, {_AVERAGE} {_USAGE}
        GROUP BY 1, "operationType" ORDER BY 1 DESC, "operationType"::text LIMIT $4""",
    "top-users": f"""
        SELECT "userId", {_NUMBERS} {_USAGE} GROUP BY "userId" ORDER BY "creditsUsed" DESC, "userId" LIMIT $4""",
    "liability": """
        SELECT count(*) FILTER (WHERE "creditsRemaining" > 0) AS users,
            coalesce(sum("creditsRemaining") FILTER (WHERE "creditsRemaining" > 0), 0)::bigint AS "creditsOwed",
            coalesce(sum(held), 0)::bigint AS "creditsHeld",
            (coalesce(sum("creditsRemaining") FILTER (WHERE "creditsRemaining" > 0), 0) - coalesce(sum(held), 0))::bigint
                AS "creditsAvailable",
            coalesce(-sum("creditsRemaining") FILTER (WHERE "creditsRemaining" < 0), 0)::bigint AS "creditsOverdrawn"
        FROM "CreditBalance" LEFT JOIN pedro_ledger.account ON user_id = "userId"
        WHERE $1::date < $2::date AND $3::text IS NULL LIMIT $4""",
}  # fmt: skip


async def raw_report(connection: Connection, name: str, asked: Asked) -> list[dict[str, Any]]:
    """The rows that the report `name` must have. Slow: it reads every row."""
    limit = asked.limit or (TOP_USERS if name == "top-users" else None)
    rows = await connection.fetch(
        QUERIES[name], asked.since or date.min, asked.until or date.max, asked.operation, limit
    )
    return [dict(row) for row in rows]


RANGES = (
    Asked(),
    Asked(date(2026, 2, 28), None),
    Asked(date(2026, 3, 4), date(2026, 5, 10)),
    Asked(None, date(2026, 3, 1), "SHORTS_MEDIA"),
    Asked(operation="AI_TEXT_CHAT", limit=2),
)


async def assert_equal_to_raw(connection: Connection) -> None:
    """Both in one snapshot, so that writers may go on."""
    for name, report in REPORTS.items():
        for asked in RANGES if "since" in report.takes else RANGES[:1]:
            given = asked if "operation" in report.takes else asked._replace(operation=None)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found = await report.rows(ReportReader(OneConnection(connection)), given)
                assert found == await raw_report(connection, name, given), (name, given)


class OneConnection(Reader):
    """Reads over a connection of the test's, inside its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetch(query, *arguments)
