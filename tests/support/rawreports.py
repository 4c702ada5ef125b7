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
_LOTS = """SELECT to_timestamp((lot ->> 2)::bigint / 1000.0) AS ends, (lot ->> 4)::bigint AS free
    FROM pedro_ledger.account, jsonb_array_elements(open_items -> 'l') AS lot"""
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
            coalesce(-sum("creditsRemaining") FILTER (WHERE "creditsRemaining" < 0), 0)::bigint AS "creditsOverdrawn",
            (SELECT coalesce(sum(free), 0)::bigint FROM (LOTS) AS lot WHERE ends < now() + interval '7 days')
                AS "creditsExpiring7Days",
            (SELECT coalesce(sum(free), 0)::bigint FROM (LOTS) AS lot WHERE ends < now() + interval '30 days')
                AS "creditsExpiring30Days",
            (SELECT coalesce(sum(free), 0)::bigint FROM (LOTS) AS lot WHERE ends < now() + interval '90 days')
                AS "creditsExpiring90Days"
        FROM "CreditBalance" LEFT JOIN pedro_ledger.account ON user_id = "userId"
        WHERE $1::date < $2::date AND $3::text IS NULL LIMIT $4""".replace("LOTS", _LOTS),
    "breakage": """
        SELECT to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
            CASE made.kind WHEN 'refund' THEN 'refund' ELSE made.source END AS source,
            -sum(e.credits)::bigint AS "creditsExpired",
            coalesce(sum(e.credits) FILTER (WHERE e.kind = 'grant'), 0)::bigint AS "creditsRolledOver"
        FROM pedro_ledger.entry AS e JOIN pedro_ledger.entry AS made ON made.user_id = e.user_id AND made.seq = e.related_seq
        WHERE ((e.kind = 'expiry' AND e.credits < 0) OR e.source = 'rollover') AND $3::text IS NULL
            AND (e.created_at AT TIME ZONE 'UTC')::date >= $1 AND (e.created_at AT TIME ZONE 'UTC')::date < $2
        GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT $4""",
    "holds": """
        SELECT (SELECT count(*) FROM pedro_ledger.account, jsonb_array_elements(open_items -> 'h')) AS "holdsOpen",
            (SELECT coalesce(sum(held), 0)::bigint FROM pedro_ledger.account) AS "creditsHeld",
            (SELECT to_char(to_timestamp(min((hold ->> 1)::bigint) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
             FROM pedro_ledger.account, jsonb_array_elements(open_items -> 'h') AS hold) AS "oldestAt",
            count(*) FILTER (WHERE idempotency_key LIKE '§lapse:%') AS "holdsLapsed",
            coalesce(-sum((effects::jsonb ->> 'held')::integer) FILTER (WHERE idempotency_key LIKE '§lapse:%'), 0)::bigint
                AS "creditsLapsed",
            coalesce(sum((effects::jsonb ->> 'uncollected')::integer), 0)::bigint AS "creditsUncollected"
        FROM pedro_ledger.entry
        WHERE (created_at AT TIME ZONE 'UTC')::date >= $1 AND (created_at AT TIME ZONE 'UTC')::date < $2
            AND $3::text IS NULL AND $4::bigint IS NULL""",
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
