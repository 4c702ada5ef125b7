"""A database that Prisma made, adopted and then partitioned under load: `python -m
tests.system.scale.adoption_at_size`.

It is made in an embedded server under the temporary folder and removed at the end. `migrate`,
`verify` and `partition` run as an operator runs them; while the table is turned, a daemon takes
deducts and refunds from 16 callers at once, and the longest time without an answer to any of them
is printed.
"""

import argparse
import asyncio
from time import perf_counter

import asyncpg
import orjson

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import app_ddl, running_server
from tests.support.loading import deducts
from tests.support.prismamade import answers, fill
from tests.support.processes import command


async def main(users: int, rows: int) -> None:
    """Fill, migrate, verify, partition under load, verify; print."""
    with running_server(on_disk=True) as server:
        await server.execute("CREATE DATABASE app")
        url = server.url("app")
        await server.execute(app_ddl(), database="app")
        connection = await asyncpg.connect(url)
        await fill(connection, users, rows)
        size = await connection.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
        print(f"{users:,} users and {rows:,} rows of usage as Prisma made them, {size}", flush=True)
        before = await answers(connection)

        await timed(url, "migrate")
        assert await answers(connection) == before
        print("the app's queries: the same answers", flush=True)
        await timed(url, "verify")
        await partition_under_load(url)
        assert await connection.fetchval("SELECT relkind = 'p' FROM pg_class WHERE relname = 'UsageHistory'")
        await timed(url, "verify")
        await connection.close()


async def timed(url: str, name: str) -> None:
    """Run a command and print what it took and said. Ends the script where it fails."""
    started = perf_counter()
    status, out, err = await command(name, "--json", DATABASE_URL=url)
    assert status == 0, err
    print(f"{name}: {perf_counter() - started:.1f} s  {out.strip()[:300]}", flush=True)


async def partition_under_load(url: str) -> None:
    """Turn the table while 16 callers deduct and refund; print the longest time without an answer
    before, during and after.
    """
    async with Daemon(settings_for(url, log_level="error")).started() as running, Api.open(running) as api:
        known = [user["id"] for user in (await api.get("/v1/users?limit=200")).json["items"]]
        for user in known:
            await api.grant(user, 100_000)
        async with deducts(api, known, workers=16) as load:
            await load.more(2000)
            usual = load.longest_gap_s
            load.longest_gap_s = 0
            begun, started = len(load.acknowledged), perf_counter()
            status, out, err = await command("partition", "--json", DATABASE_URL=url)
            seconds, done = perf_counter() - started, len(load.acknowledged) - begun
            assert status == 0, err
            turning = load.longest_gap_s
            await load.more(2000)
        assert load.refused == [], load.refused[:5]
    print(
        f"partition: {seconds:.1f} s under load ({done / seconds:.0f} op/s); tables held for "
        f"{orjson.loads(out)['heldSeconds'] * 1000:.0f} ms; longest time without an answer {turning * 1000:.0f} ms "
        f"(before: {usual * 1000:.0f} ms); {len(load.acknowledged):,} acknowledged, none refused",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    asyncio.run(main(given.users, given.rows))
