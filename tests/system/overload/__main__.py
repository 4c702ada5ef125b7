"""`python -m tests.system.overload [--seconds N]`: what floods do to the others, in one run: the
others' latency alone, beside one user's flood over few and over many connections, and beside ten
thousand users', with room for all of it and without, and beside large details. Needs wrk.

Latencies are those of operations that were applied; what the others were refused is counted beside
them.
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

from pedro_ledger.tools.bench.generator import CREATED, GeneratorResult, Job, Load
from pedro_ledger.tools.bench.loads import Loaded, find_wrk, run_wrk
from tests.support.client import API_KEY
from tests.support.databases import running_server
from tests.support.processes import Served, command, served
from tests.system.replicas.__main__ import make_users

OTHERS = 1_000
OTHERS_CONNECTIONS = 64
SETTLE_S = 1.5
"""A flood is on before the others are measured, and after."""


class Flood(NamedTuple):
    """Who floods, over how many connections, and what the daemon is set to."""

    name: str
    users: int
    connections: int
    settings: dict[str, str]
    details_bytes: int = 0


TIGHT = {"PEDRO_OPERATIONS_IN_FLIGHT_MAX": "150"}
FLOODS = (
    Flood("nobody", 0, 0, {}),
    Flood("one user, 256 connections", 1, 256, {}),
    Flood("one user, 1,500 connections", 1, 1_500, {}),
    Flood("10,000 users, 1,000 connections", 10_000, 1_000, {}),
    Flood("1,000 users, 250 connections, 1 MB of details each", 1_000, 250, {}, 1_000_000),
    Flood("10,000 users, 1,000 connections, 150 operations in flight at most", 10_000, 1_000, TIGHT),
)


class Measured(NamedTuple):
    """What came of the others beside one flood."""

    others: GeneratorResult
    refused: int
    flood: Loaded | None
    turned_away: int
    mib: float


class Others(Load):
    """The others' load. A refusal is counted, not timed."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.refused = 0

    def answered(self, sent_at: float, status: bytes, body: bytes, operations: int) -> None:
        """An answer came in whole."""
        if status == CREATED:
            super().answered(sent_at, status, body, operations)
        else:
            self.refused += operations


async def metric(daemon: Served, pattern: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.address}/metrics") as response:
        return sum(float(value) for value in re.findall(pattern, await response.text(), re.MULTILINE))


async def measure(flood: Flood, daemon: Served, folder: Path, number: int, seconds: float) -> Measured:
    wrk = find_wrk()
    assert wrk is not None, "wrk is installed"
    port = int(daemon.address.rpartition(":")[2])
    turned_away = r"^pedro_ledger_turned_away_total\S* (\S+)$"
    before = await metric(daemon, turned_away)
    flooding: asyncio.Task[Loaded] | None = None
    if flood.users:
        users = folder / "flood"
        users.write_text("".join(f"u{OTHERS + each}\n" for each in range(1, flood.users + 1)))
        job = Job(
            port,
            flood.connections,
            str(users),
            API_KEY,
            f"flood-{number}",
            seconds + 2 * SETTLE_S,
            details_bytes=flood.details_bytes,
        )
        flooding = asyncio.create_task(asyncio.to_thread(run_wrk, wrk, job))
        await asyncio.sleep(SETTLE_S)
    others = Others(Job(port, OTHERS_CONNECTIONS, str(folder / "others"), API_KEY, f"others-{number}", seconds))
    outcome = await others.run()
    flooded = await flooding if flooding is not None else None
    mib = daemon.peak_bytes() / 2**20
    return Measured(outcome, others.refused, flooded, int(await metric(daemon, turned_away) - before), mib)


async def main(seconds: float, only: str) -> int:
    table = Table(
        "who floods", "others op/s", "p50 ms", "p99 ms", "p99 of alone", "refused", "errors", "flood op/s", "turned away", "MiB at most"
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_server(on_disk=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await server.make_templates()
        url = server.url(await server.clone("ledger_template"))
        await make_users(url, folder / "all", OTHERS + 10_000)
        (folder / "others").write_text("".join(f"u{number}\n" for number in range(1, OTHERS + 1)))
        alone = 0.0
        for number, flood in enumerate(flood for flood in FLOODS if not flood.users or only in flood.name):
            async with served(DATABASE_URL=url, **flood.settings) as daemon:
                await measure(FLOODS[0], daemon, folder, 100 + number, 2)  # their accounts are in memory
                others, refused, flooded, turned_away, mib = await measure(flood, daemon, folder, number, seconds)
            p99 = others.latency_ms.p99_ms
            alone = alone or p99
            table.add_row(
                flood.name, f"{others.operations / others.seconds:,.0f}", f"{others.latency_ms.p50_ms:.1f}", f"{p99:.1f}",
                f"{p99 / alone:.1f}", f"{refused:,}", str(others.errors or "none"),
                f"{flooded.operations / flooded.seconds:,.0f}" if flooded else "", f"{turned_away:,}", f"{mib:.0f}",
            )  # fmt: skip
        status, said, _ = await command("verify", DATABASE_URL=url)
    Console(width=160).print(table)
    print(said)
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.system.overload", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name holds this, after the one of nobody")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row; 6 unless told")
    chosen = parser.parse_args()
    if find_wrk() is None:
        sys.exit("wrk is needed (Debian: wrk)")
    sys.exit(asyncio.run(main(chosen.seconds, chosen.only)))
