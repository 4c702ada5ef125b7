"""One replay from the first call to the report."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import orjson
from rich.console import Console
from yarl import URL

from pedro_ledger.tools.replay.accounts import ReplayUser
from pedro_ledger.tools.replay.books import compare_books
from pedro_ledger.tools.replay.client import PATIENCE_S, TRY_TIMEOUT_S, DaemonClient
from pedro_ledger.tools.replay.dealing import Dealer
from pedro_ledger.tools.replay.driver import Driver, ReplayCounts, ReplayRequest
from pedro_ledger.tools.replay.parallel import in_parallel
from pedro_ledger.tools.replay.pricing import TokenPrice, credits_asked
from pedro_ledger.tools.replay.progress import Screen
from pedro_ledger.tools.replay.report import ReplayReport, print_report, report_json
from pedro_ledger.tools.replay.trace import TraceLine


class ReplayPlan(NamedTuple):
    """What is to be replayed, and how."""

    file: Path
    lines: Sequence[TraceLine]
    url: URL
    key: str
    run_id: str
    users: int
    zipf: float
    seed: int
    operation_type: str
    price: TokenPrice | None
    top_up: int
    """Credits that a user gets who runs dry, or a multiple that covers the request; 0: none."""
    speed: float
    concurrency: int


def replay(plan: ReplayPlan, *, as_json: bool) -> bool:
    """Replay `plan` with progress, print the report, and return whether the books agree.

    Raises `ReplayStopped`.
    """
    with Screen(is_shown=not as_json) as screen:
        if sys.platform == "win32":
            report = asyncio.run(run_replay(plan, screen))
        else:
            import uvloop  # noqa: PLC0415

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                report = runner.run(run_replay(plan, screen))
    if as_json:
        sys.stdout.write(orjson.dumps(report_json(report)).decode() + "\n")
    else:
        print_report(report, Console())
    return report.books.agree


def deal(plan: ReplayPlan) -> tuple[list[ReplayRequest], list[ReplayUser]]:
    """Every request with its user, and the users that have any.

    A line's user depends on nothing but the seed and the lines before.
    """
    dealer = Dealer(plan.users, plan.zipf, plan.seed)
    users: dict[str, ReplayUser] = {}
    steps = []
    for line in plan.lines:
        dealt = dealer.deal()
        name = f"{dealt}" if line.user is None else f"user-{line.user}"
        user = users.get(name)
        if user is None:
            user = users[name] = ReplayUser(f"replay-{plan.run_id}-{name}")
        operation_type = line.operation_type or plan.operation_type
        steps.append(ReplayRequest(line, user, operation_type, credits_asked(plan.file, line, plan.price)))
    return steps, list(users.values())


async def run_replay(plan: ReplayPlan, screen: Screen) -> ReplayReport:
    """Replay `plan` and compare the books.

    Raises `ReplayStopped` where the daemon cannot be reached, or answers what it should not.
    """
    steps, users = deal(plan)
    tally, workers = ReplayCounts(), plan.concurrency
    connector = aiohttp.TCPConnector(limit=workers, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=TRY_TIMEOUT_S)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        client = DaemonClient(session, plan.url, plan.key, patience_s=PATIENCE_S)
        await client.probe()
        async with screen.stage("users", len(users)) as stage:
            await in_parallel(users, lambda user: user.prepare(client), workers=workers, stage=stage)
        driver = Driver(client, tally, run_id=plan.run_id, top_up=plan.top_up, speed=plan.speed)
        async with screen.stage(
            "requests", len(steps), lambda: f"{tally.refused} refused, {tally.top_ups} top-ups"
        ) as stage:
            await driver.run(steps, concurrency=workers, stage=stage)
        async with screen.stage("books", len(users)) as stage:
            books = await compare_books(client, users, concurrency=workers, stage=stage)
    return ReplayReport(
        plan.run_id,
        str(plan.file),
        str(plan.url),
        len(users),
        len(steps),
        tally,
        client.retries,
        sorted(client.latencies_s),
        books,
        plan.speed > 0,
    )
