"""How long reports take over a large ledger: `python -m tests.system.scale.reports_at_size
--entries 10000000 --users 10000`.

The ledger is made in an embedded server under the temporary folder (about 1.5 KB of disk an entry)
and removed at the end. Each report is asked as the daemon asks it: with nothing in the queues, then
with as many uses in them as a busy daemon makes between two turns of its folding. At the end each
is compared with the plain query over the raw rows.
"""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter

import asyncpg

from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.reports.catalogue import REPORTS, Asked
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.store.reports.rollups import RollupWorker
from pedro_ledger.tools.bench.size import load
from tests.support.databases import running_server
from tests.support.rawreports import raw_report

QUEUED = 35_000
ROUNDS = 20
QUEUE_USES = """
    WITH moved AS (
        UPDATE pedro_ledger.account SET seq = seq + 1, posted = posted - 3
        WHERE user_id IN (SELECT user_id FROM pedro_ledger.account ORDER BY user_id OFFSET $1 LIMIT 100) RETURNING *
    ),
    balance AS (
        UPDATE "CreditBalance" SET "creditsRemaining" = posted FROM moved WHERE "userId" = user_id
    ),
    used AS (
        INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")
        SELECT user_id || seq, user_id, balance_id, 'SHORTS_MEDIA', 3, now() FROM moved
    )
    INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key, fingerprint,
        actor, hash, created_at)
    SELECT user_id, seq, user_id || seq, 'deduct', 'SHORTS_MEDIA', -3, posted, 'queued-' || seq, '', 'scale', head, now() FROM moved
"""


async def main(users: int, entries: int, days: int) -> None:
    """Make the ledger, fold it, ask every report, print."""
    with running_server(on_disk=True) as server:
        await server.make_templates()
        url = server.url(await server.clone("ledger_template"))
        started = perf_counter()
        stride_ms = days * 86_400_000 // max(1, entries // users)
        await load(url, users, entries, stride_ms=stride_ms)
        print(
            f"{entries:,} entries of {users:,} users over {days} days: made in {perf_counter() - started:.0f} s",
            flush=True,
        )
        database = Database(parse_database_url(url), slow_query_ms=600_000)
        await database.open()
        connection = await asyncpg.connect(url, server_settings={"jit": "off"})
        started = perf_counter()
        folder = RollupWorker(database, interval_s=5)
        changes = await folder.roll_up()
        print(f"{changes:,} changes folded in {perf_counter() - started:.0f} s", flush=True)
        # Days come one after another in life, and so do their rows; this ledger was made user by
        # user.
        await connection.execute("CLUSTER pedro_ledger.usage_by_user_span USING usage_by_user_span_day_idx")
        await connection.execute(
            "VACUUM ANALYZE pedro_ledger.usage_by_user_span, pedro_ledger.usage_by_user, pedro_ledger.usage_pending"
        )
        await measure(database, connection, "nothing queued")
        for turn in range(3):
            await queue_uses(url, users)
            if turn == 0:
                await measure(database, connection, f"{QUEUED:,} uses queued")
            started = perf_counter()
            await folder.roll_up()
            print(f"{QUEUED:,} uses folded in {perf_counter() - started:.2f} s")
        await compare(database, connection)
        await connection.close()
        await database.close()


def asked_of(name: str) -> Sequence[tuple[str, Asked]]:
    """What is asked of a report: everything, and some days."""
    today = datetime.now(UTC).date()
    asked = [("all", Asked())]
    if "since" in REPORTS[name].takes:
        asked += [(f"{days} days", Asked(since=today - timedelta(days=days - 1))) for days in (7, 30, 60)]
    if "operation" in REPORTS[name].takes:
        asked.append(("one operation", Asked(operation="AI_TEXT_CHAT")))
    return asked


async def measure(database: Database, connection: Connection, title: str) -> None:
    """Ask each report `ROUNDS` times."""
    reader = ReportReader(Reader(database))
    print(f"\n{title:36} {'median':>10} {'worst':>10}")
    for name, report in REPORTS.items():
        for label, asked in asked_of(name):
            took = []
            for _ in range(ROUNDS):
                started = perf_counter()
                rows = await report.rows(reader, asked)
                took.append(perf_counter() - started)
            assert rows
            took.sort()
            print(
                f"{name + ' (' + label + ')':36} {took[ROUNDS // 2] * 1000:7.1f} ms {took[-1] * 1000:7.1f} ms",
                flush=True,
            )


async def queue_uses(url: str, users: int) -> None:
    """Queue `QUEUED` uses, a hundred a statement, as busy commits do."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET pedro_ledger.writer = 'on'; SET timezone = 'UTC'")
    for batch in range(QUEUED // 100):
        await connection.execute(QUEUE_USES, batch * 100 % max(100, users - 100))
    await connection.close()


async def compare(database: Database, connection: Connection) -> None:
    """Every report against the plain query, with how long that takes."""
    print(f"\n{'the plain query over the raw rows':36} {'seconds':>10}")
    for name, report in REPORTS.items():
        for label, asked in asked_of(name):
            found = await report.rows(ReportReader(Reader(database)), asked)
            started = perf_counter()
            assert found == await raw_report(connection, name, asked), (name, asked)
            print(f"{name + ' (' + label + ')':36} {perf_counter() - started:10.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    given = parser.parse_args()
    asyncio.run(main(given.users, given.entries, given.days))
