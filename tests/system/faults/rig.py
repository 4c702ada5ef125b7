"""What a trial stands on: a server of its own, daemons, clients, the journal; and how trials are
named and judged.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import perf_counter

import aiohttp

from pedro_ledger.postgres.embedded import SUPERUSER
from tests.support.databases import temporary_folder
from tests.support.processes import Served, start
from tests.system.faults import PATIENCE_S
from tests.system.faults.books import read_books
from tests.system.faults.crowd import HEADERS, Crowd
from tests.system.faults.history import read_journals
from tests.system.faults.journal import Ask, Journal
from tests.system.faults.judge import Fault, judge
from tests.system.faults.postgres import ChildServer, Cluster, own
from tests.system.faults.proxy import FaultProxy

FAULTS_SHOWN = 12


class Rig:
    """One trial: everything in one folder, everything from one seed."""

    def __init__(self, cluster: Cluster, folder: Path, seed: int, scale: float, stack: AsyncExitStack) -> None:
        self.cluster = cluster
        self.folder = folder
        self.seed = seed
        self.random = random.Random(seed)
        self.scale = scale
        self.stack = stack
        self.journal = Journal(folder / "journal")
        stack.callback(self.journal.close)
        self.figures: dict[str, str] = {}
        self.faults_injected = 0
        self.daemons: list[Served] = []
        """Those that clients are sent to."""
        self.url = ""
        """Where the books are read in the end."""
        self._last_address = ""
        self._clerks = count(1)

    @property
    def is_long(self) -> bool:
        """Whether this is the long set: more clients, larger batches, longer faults."""
        return self.scale > 1

    def took(self, what: str, seconds: float, promised_s: float) -> None:
        """Tell how long it took. Only the long set, which has a machine to itself, holds it against
        the promise: on a busy one a process may stand still for longer, and what the quick set
        proves is that it came at all.
        """
        self.figures[what] = f"{seconds:.2f} s, {promised_s:g} s were promised"
        limit_s = promised_s if self.is_long else PATIENCE_S
        assert seconds < limit_s, f"{what}: {seconds:.1f} s, and not {limit_s:g} s"

    def times(self, few: int) -> int:
        """How often to do it: `few` times in the quick set, more in the long one."""
        return max(1, round(few * self.scale))

    async def server(
        self,
        name: str = "pg",
        *,
        settings: dict[str, str] | None = None,
        data: Path | None = None,
        wal: Path | None = None,
    ) -> ChildServer:
        """A started server with a migrated database, empty but for its tables; `data` and `wal`
        where they lie elsewhere.
        """
        folder = self.folder / name
        folder.mkdir(mode=0o711)
        child = ChildServer(self.cluster, folder, settings=settings, data=data)
        self.cluster.copy(child.data, wal)
        await self.run(child)
        return child

    async def run(self, child: ChildServer) -> None:
        """Start a server that lives as long as the trial."""
        self.stack.push_async_callback(child.stop)
        await child.start()
        self.url = child.url()

    async def daemon(self, url: str, *arguments: str, module: str = "pedro_ledger", **variables: str | None) -> Served:
        """A started daemon, which clients are sent to; its log lies in the trial's folder."""
        number = len(list(self.folder.glob("daemon-*.log"))) + 1
        daemon = await start(
            *arguments, module=module, log=self.folder / f"daemon-{number}.log", DATABASE_URL=url, **variables
        )
        self.stack.push_async_callback(_end, daemon)
        self.daemons.append(daemon)
        return daemon

    async def proxy(self, server: ChildServer) -> FaultProxy:
        """What stands between daemons and a server; its folder is the daemons' host."""
        number = len(list(self.folder.glob("proxy-*"))) + 1
        return await self.stack.enter_async_context(FaultProxy(self.folder / f"proxy-{number}", server.socket_dir))

    def address(self) -> str:
        """Any of the daemons; where the last one was, while there is none."""
        if self.daemons:
            self._last_address = self.random.choice(self.daemons).address
        return self._last_address

    async def readiness(self) -> int:
        """The status of `/readyz` of any daemon; 0 without an answer."""
        return (await self._readyz())[0]

    async def until_ready(self) -> None:
        await self._until(lambda status, _: status == 200)

    async def until_unready(self, reason: str) -> None:
        """Until `/readyz` says 503 for this reason."""
        await self._until(lambda status, text: status == 503 and reason in text)

    async def _until(self, is_so: Callable[[int, str], bool]) -> None:
        seen: tuple[int, str] = (0, "")
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so(*(seen := await self._readyz())):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"/readyz stays at {seen} for {PATIENCE_S} s") from None

    async def _readyz(self) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.address()}/readyz") as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            return 0, str(error)

    async def standby(self, primary: ChildServer, name: str) -> ChildServer:
        """A started standby that streams from `primary`."""
        folder = self.folder / name
        folder.mkdir(mode=0o711)
        child = ChildServer(self.cluster, folder, settings=primary.settings)
        own(child.data)
        await asyncio.to_thread(
            self.cluster.run, "pg_basebackup", "-D", str(child.data), "-h", str(primary.socket_dir), "-p", primary.settings["port"],
            "-U", SUPERUSER, "-c", "fast", "-R", "-X", "stream",
        )  # fmt: skip
        self.stack.push_async_callback(child.stop)
        await child.start()
        return child

    async def users(self, count: int, credits: int = 500) -> list[str]:
        """New users, each with the signup's 100 credits and a grant of the rest."""
        made: list[str] = []
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            for _ in range(count):
                async with session.post(
                    f"{self.address()}/v1/users", json={"clerkId": f"clerk_{next(self._clerks)}"}
                ) as answer:
                    assert answer.status == 201, await answer.text()
                    user = str((await answer.json())["id"])
                self.journal.user(user, "grant", 100)
                made.append(user)
        if credits > 100:
            asks = [Ask(user, "start", "grant", credits - 100) for user in made]
            async with self.crowd(made, singles=0, batchers=0, name="start") as bank:
                for first in range(0, count, 1000):
                    await bank.pursue(asks[first : first + 1000])
        return made

    async def openings(self, count: int, credits: int = 500, name: str = "prisma") -> list[str]:
        """Users as the app makes them through Prisma, to be adopted when they are first touched."""
        import asyncpg  # noqa: PLC0415

        ids = [f"{name}_{number}" for number in range(count)]
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(
                """WITH made AS (
                    INSERT INTO "User" ("id", "clerkId", "updatedAt") SELECT n, 'clerk_' || n, now() FROM unnest($1::text[]) AS n
                    RETURNING "id", "clerkId")
                INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
                SELECT 'balance_' || "id", "id", "clerkId", $2, now() FROM made""",
                ids, credits,
            )  # fmt: skip
        finally:
            await connection.close()
        for user in ids:
            self.journal.user(user, "opening", credits)
        return ids

    def crowd(self, users: list[str], **more: object) -> Crowd:
        """Clients that speak to any of the daemons."""
        size = {"batchers": 4, "lines": 300, "weight": 15} if self.is_long else {}
        given = {"seed": self.random.randrange(2**32), **size, **more}
        return Crowd(self.journal, self.address, users, **given)  # type: ignore[arg-type]

    async def verdict(self) -> list[Fault]:
        """What the judge finds."""
        return judge(read_journals([self.journal.path]), await read_books(self.url))


async def _end(daemon: Served) -> None:
    if daemon.process.returncode is None:
        daemon.process.kill()
        await daemon.process.wait()


Trial = Callable[[Rig], Awaitable[None]]


@dataclass
class Scenario:
    """A row of RELIABILITY.md's table, or a part of one."""

    name: str
    passes_when: str
    trial: Trial
    control: bool = False
    """Whether the judge must find what is lost here."""
    needs: Callable[[], str] = lambda: ""
    """Says what is missing on this machine; nothing: it can run."""


@dataclass
class Outcome:
    """What came of one trial."""

    name: str
    seed: int
    acknowledged: int = 0
    refused: int = 0
    unanswered: int = 0
    faults_injected: int = 0
    seconds: float = 0.0
    lost_in_control: int = 0
    found: list[Fault] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    def count(self, name: str) -> int:
        """How many faults of this name were found."""
        return sum(fault.name == name for fault in self.found)

    @property
    def others(self) -> int:
        return len(self.found) - self.count("lost") - self.count("duplicated")


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    passes_when: str, *, control: bool = False, needs: Callable[[], str] = lambda: ""
) -> Callable[[Trial], Trial]:
    """Enter a trial under its function's name."""

    def enter(trial: Trial) -> Trial:
        SCENARIOS[trial.__name__] = Scenario(trial.__name__, passes_when, trial, control, needs)
        return trial

    return enter


@asynccontextmanager
async def rig(cluster: Cluster, seed: int, scale: float) -> AsyncIterator[Rig]:
    """A trial's rig, and the end of everything that it started."""
    with temporary_folder() as folder:
        async with AsyncExitStack() as stack:
            yield Rig(cluster, folder, seed, scale, stack)


async def try_out(scenario: Scenario, cluster: Cluster, seed: int, scale: float = 1.0) -> Outcome:
    """Run one trial and judge it. Raises what the trial itself raises, with how to repeat it."""
    started = perf_counter()
    outcome = Outcome(scenario.name, seed)
    async with rig(cluster, seed, scale) as trial:
        try:
            await scenario.trial(trial)
            outcome.found = await trial.verdict()
            if scenario.control:
                outcome.lost_in_control = sum(fault.name == "lost" for fault in outcome.found)
                assert outcome.lost_in_control, "the control lost nothing that the judge can see"
                outcome.figures["lost, as it must"] = f"{outcome.lost_in_control:,}"
                outcome.found = []
        except BaseException as error:
            error.add_note(repeat_with(scenario.name, seed, scale))
            raise
        journal = trial.journal
        outcome.acknowledged, outcome.refused, outcome.unanswered = (
            journal.acknowledged,
            journal.refused,
            journal.unanswered,
        )
        outcome.faults_injected = trial.faults_injected
        outcome.figures = trial.figures | outcome.figures
    outcome.seconds = perf_counter() - started
    return outcome


def repeat_with(name: str, seed: int, scale: float) -> str:
    """The command that runs a trial again."""
    return f"seed {seed}; again with: python -m tests.system.faults.soak --only {name} --seed {seed} --scale {scale:g} --rounds 1"


def report(outcome: Outcome, scale: float) -> str:
    """What a failed trial has to say."""
    shown = [f"  {fault.name}: user {fault.user}: {fault.what}" for fault in outcome.found[:FAULTS_SHOWN]]
    more = len(outcome.found) - len(shown)
    return "\n".join([
        f"{outcome.name}: the judge found {len(outcome.found)} faults", *shown, *([f"  and {more} more"] if more > 0 else []),
        repeat_with(outcome.name, outcome.seed, scale),
    ])  # fmt: skip
