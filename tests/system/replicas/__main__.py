"""`python -m tests.system.replicas [--seconds N]`: throughput and stale units of one daemon and of
three behind nginx. Needs wrk.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
from rich.console import Console
from rich.table import Table

from pedro_ledger.tools.bench.generator import Job
from pedro_ledger.tools.bench.loads import Loaded, find_wrk, run_wrk
from tests.support.client import API_KEY
from tests.support.databases import running_server
from tests.support.processes import Served, command, served
from tests.system.replicas.nginx import NGINX, nginx
from tests.system.replicas.test_replicas import stale_units

USERS = 2_000
CREDITS = 1_000_000_000
CONNECTIONS = 64


class Row(NamedTuple):
    """A way to serve."""

    name: str
    replicas: int
    through_nginx: bool
    affinity: bool = True


ROWS = (
    Row("one daemon", 1, False),
    Row("one daemon behind nginx", 3, True),
    Row("three, a user on one of them", 3, True),
    Row("three, any of them", 3, True, affinity=False),
)


async def make_users(url: str, users_file: Path, count: int = USERS) -> None:
    """As the app makes them; adopted on first touch."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        'INSERT INTO "User" ("id", "clerkId", "updatedAt") SELECT \'u\' || n, \'c\' || n, now() FROM generate_series(1, $1::integer) AS n',
        count,
    )
    await connection.execute(
        'INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt") '
        "SELECT 'b' || n, 'u' || n, 'c' || n, $2::integer, now() FROM generate_series(1, $1::integer) AS n",
        count,
        CREDITS,
    )
    await connection.close()
    users_file.write_text("".join(f"u{number}\n" for number in range(1, count + 1)))


async def measure(row: Row, url: str, users_file: Path, seconds: float) -> tuple[Loaded, int]:
    wrk = find_wrk()
    assert wrk is not None, "wrk is installed"
    async with AsyncExitStack() as stack:
        daemons: list[Served] = [
            await stack.enter_async_context(served(DATABASE_URL=url))
            for _ in range(1 if row.name.startswith("one") else row.replicas)
        ]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        address = daemons[0].address
        if row.through_nginx:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pedro-nginx-")))
            folder.chmod(0o711)
            targets = [daemons[number % len(daemons)].address.removeprefix("http://") for number in range(row.replicas)]
            address = await stack.enter_async_context(nginx(folder, targets, affinity=row.affinity))
        port = int(address.rpartition(":")[2])
        for name, length in (("warm", 2.0), ("counted", seconds)):
            before = await stale_units(session, daemons)
            job = Job(port, CONNECTIONS, str(users_file), API_KEY, f"{row.name.replace(' ', '-')}-{name}", length)
            loaded = await asyncio.to_thread(run_wrk, wrk, job)
        return loaded, await stale_units(session, daemons) - before


async def main(seconds: float) -> int:
    table = Table("served by", "op/s", "of one daemon", "p50 ms", "p99 ms", "stale units", "errors")
    with running_server(on_disk=True) as server, tempfile.TemporaryDirectory() as folder:
        await server.make_templates()
        url = server.url(await server.clone("ledger_template"))
        users_file = Path(folder) / "users"
        await make_users(url, users_file)
        first = 0.0
        for row in ROWS:
            loaded, stale = await measure(row, url, users_file, seconds)
            rate = loaded.operations / loaded.seconds
            first = first or rate
            table.add_row(
                row.name, f"{rate:,.0f}", f"{rate / first:.2f}", f"{loaded.latency.p50_ms:.1f}", f"{loaded.latency.p99_ms:.1f}",
                f"{stale:,} ({stale / loaded.operations:.1%})", str(loaded.errors or "none"),
            )  # fmt: skip
        status, said, _ = await command("verify", DATABASE_URL=url)
    Console().print(table)
    print(said)
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.system.replicas", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row; 8 unless told")
    chosen = parser.parse_args()
    if NGINX is None or find_wrk() is None:
        sys.exit("nginx and wrk are needed (Debian: nginx-light wrk)")
    sys.exit(asyncio.run(main(chosen.seconds)))
