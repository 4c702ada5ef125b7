"""How long exports take over a large ledger, and how much memory: `python -m
tests.system.scale.exports_at_size --entries 1000000 --users 10000`.

The ledger is made in an embedded server under the temporary folder and removed at the end.
"""

import argparse
import asyncio
import resource
import sys
from time import perf_counter

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.reports.exports import TYPES, export
from pedro_ledger.store.reports.exports import ExportReader, Wanted
from pedro_ledger.tools.bench.size import load
from tests.support.databases import running_server


async def main(users: int, entries: int) -> None:
    """Make the ledger, export entries and usage in every form, print."""
    with running_server(on_disk=True) as server:
        await server.make_templates()
        url = server.url(await server.clone("ledger_template"))
        await load(url, users, entries)
        reader = ExportReader(Reader(Database(parse_database_url(url), slow_query_ms=600_000)))

        async def drop(piece: bytes) -> None:
            """As a caller who reads as fast as rows come."""

        print(f"{entries:,} entries of {users:,} users")
        for name in ("entries", "usage"):
            for form in TYPES:
                async with reader.session() as session:
                    started = perf_counter()
                    done = await export(session, name, Wanted(), form, drop)
                seconds = perf_counter() - started
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                print(
                    f"{name:8} {form:8} {done.rows:>10,} rows {done.bytes_written >> 20:>6,} MiB {seconds:6.1f} s; "
                    f"most memory so far {peak} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.users, given.entries)))
