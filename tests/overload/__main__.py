"""`python -m tests.overload [--seconds N]`: what a flood does to the others: their latency alone, beside one user's flood, beside
ten thousand users', in one run; what was turned away, and the daemon's memory. Needs wrk.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
from rich.console import Console
from rich.table import Table

from pedro_ledger.bench.generator import Job
from pedro_ledger.bench.loads import Loaded, find_wrk, run_wrk
from tests.replicas.__main__ import make_users
from tests.support.client import API_KEY
from tests.support.databases import running_server
from tests.support.processes import Served, command, served

OTHERS = 1_000
CONNECTIONS = 8


class Flood(NamedTuple):
    """Who floods, and over how many connections."""

    name: str
    users: int
    connections: int


FLOODS = (
    Flood("nobody", 0, 0),
    Flood("one user", 1, 256),
    Flood("one user, over more connections than its mailbox holds", 1, 1_500),
    Flood("ten thousand users", 10_000, 1_000),
)
SETTINGS = {"PEDRO_OPERATIONS_IN_FLIGHT_MAX": "2000"}


async def metric(daemon: Served, pattern: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.address}/metrics") as response:
        return sum(float(value) for value in re.findall(pattern, await response.text(), re.MULTILINE))


def resident_mib(daemon: Served) -> float:
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20


async def measure(flood: Flood, daemon: Served, folder: Path, seconds: float) -> tuple[Loaded, float, int, int]:
    """The others' load; MiB resident under it; operations of the flood that were applied, and that were turned away."""
    wrk = find_wrk()
    assert wrk is not None, "wrk is installed"
    port = int(daemon.address.rpartition(":")[2])
    name = flood.name.replace(" ", "-").replace(",", "")
    loads = []
    if flood.users:
        users = folder / "flood"
        users.write_text("".join(f"u{OTHERS + number}\n" for number in range(1, flood.users + 1)))
        loads.append(Job(port, flood.connections, str(users), API_KEY, f"flood-{name}", seconds + 3))
    turned_away = r"^pedro_ledger_turned_away_total\S* (\S+)$"
    before = await metric(daemon, turned_away)
    flooding = [asyncio.create_task(asyncio.to_thread(run_wrk, wrk, job)) for job in loads]
    await asyncio.sleep(1.5)
    others = Job(port, CONNECTIONS, str(folder / "others"), API_KEY, f"others-{name}", seconds)
    loaded = await asyncio.to_thread(run_wrk, wrk, others)
    memory = resident_mib(daemon)
    flooded = sum([(await each).operations for each in flooding])
    return loaded, memory, flooded, int(await metric(daemon, turned_away) - before)


async def main(seconds: float) -> int:
    table = Table(
        "who floods",
        "others op/s",
        "p50 ms",
        "p99 ms",
        "p99 of alone",
        "others' errors",
        "flood's answers",
        "turned away",
        "MiB",
    )
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await server.make_templates()
        url = server.url(await server.clone("ledger_template"))
        await make_users(url, folder / "all", OTHERS + 10_000)
        (folder / "others").write_text("".join(f"u{number}\n" for number in range(1, OTHERS + 1)))
        daemon = await stack.enter_async_context(served(DATABASE_URL=url, **SETTINGS))
        await measure(FLOODS[0], daemon, folder, 2)
        alone = 0.0
        for flood in FLOODS:
            loaded, memory, flooded, refused = await measure(flood, daemon, folder, seconds)
            p99 = loaded.latency.p99_ms
            alone = alone or p99
            table.add_row(
                flood.name, f"{loaded.operations / loaded.seconds:,.0f}", f"{loaded.latency.p50_ms:.1f}", f"{p99:.1f}",
                f"{p99 / alone:.1f}", str(loaded.errors or "none"), f"{flooded:,}", f"{refused:,}", f"{memory:.0f}",
            )  # fmt: skip
        status, said, _ = await command("verify", DATABASE_URL=url)
    Console(width=160).print(table)
    print(said)
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row; 6 unless told")
    chosen = parser.parse_args()
    if find_wrk() is None:
        sys.exit("wrk is needed (Debian: wrk)")
    sys.exit(asyncio.run(main(chosen.seconds)))
