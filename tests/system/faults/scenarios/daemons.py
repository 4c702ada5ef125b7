"""The daemon itself is killed, stopped or ended, its clock jumps, and several of them share a
database.
"""

import asyncio
import signal
from pathlib import Path
from time import perf_counter

from tests.support.processes import Served
from tests.system.faults import PATIENCE_S
from tests.system.faults.crowd import Crowd
from tests.system.faults.journal import Ask
from tests.system.faults.postgres import kill
from tests.system.faults.rig import Rig, scenario

READY_WITHIN_S = 2.0
ROOM = 5
"""The tables' times are told as figures, and the long set asserts them with this much room."""
GRACE_S = 10
HOUR_MS = 3_600_000
POOLED = "&pgbouncer=true"


@scenario("0 lost, 0 twice; ready again within 2 s")
async def daemon_killed(rig: Rig) -> None:
    server = await rig.server()
    daemon = await rig.daemon(server.url())
    users = await rig.users(8) + await rig.openings(8)
    restarts = []
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(5)):
            await crowd.flow(rig.random.randint(100, 600))
            await daemon.end(signal.SIGKILL)
            rig.faults_injected += 1
            daemon = await _again(rig, daemon, server.url())
            restarts.append(daemon.seconds)
        await crowd.flow(200)
    rig.took("ready again after at most", max(restarts), READY_WITHIN_S * ROOM)


@scenario("nothing accepted is lost; unready first; out within the grace")
async def daemon_terminated(rig: Rig) -> None:
    server = await rig.server()
    grace = {"PEDRO_SHUTDOWN_GRACE_S": str(GRACE_S if rig.is_long else PATIENCE_S / 2)}
    daemon = await rig.daemon(server.url(), **grace)
    users = await rig.users(12)
    ends = []
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(3)):
            await crowd.flow(rig.random.randint(100, 600))
            started = perf_counter()
            ending = asyncio.create_task(daemon.end(signal.SIGTERM))
            async with asyncio.timeout(PATIENCE_S):
                while not ending.done() and await rig.readiness() == 200:
                    pass
            ready_seen_s = perf_counter() - started
            assert await ending == 0
            ends.append((perf_counter() - started, ready_seen_s))
            rig.faults_injected += 1
            daemon = await _again(rig, daemon, server.url(), **grace)
        await crowd.flow(200)
    rig.took("out within", max(end for end, _ in ends), GRACE_S + ROOM)
    rig.took("unready within", max(seen for _, seen in ends), GRACE_S)


@scenario("the other replica goes on; the woken one commits nothing stale")
async def daemon_stopped(rig: Rig) -> None:
    """SIGSTOP at any moment; meanwhile another replica moves the same users on."""
    server = await rig.server()
    daemons = [await rig.daemon(server.url()) for _ in range(2)]
    users = await rig.users(6)
    async with rig.crowd(users, singles=16) as crowd:
        for number in range(rig.times(6)):
            await crowd.flow(rig.random.randint(50, 300))
            stopped = daemons[number % 2]
            rig.daemons.remove(stopped)
            kill(stopped.process.pid, signal.SIGSTOP)
            rig.faults_injected += 1
            try:
                async with rig.crowd(users, singles=4, batchers=1, name=f"w{number}") as others:
                    await others.flow(rig.random.randint(50, 300))
            finally:
                kill(stopped.process.pid, signal.SIGCONT)
            rig.daemons.append(stopped)
        await crowd.flow(200)


@scenario("the other replica goes on after the idle-in-transaction timeout; the woken one commits nothing stale")
async def daemon_stopped_in_transaction(rig: Rig) -> None:
    """Through a pooler a batch is written between BEGIN and COMMIT: there the daemon is stopped,
    and holds its users' locks.
    """
    server = await rig.server()
    proxy = await rig.proxy(server)
    stopping = await rig.daemon(server.url(proxy.folder) + POOLED)
    other = await rig.daemon(server.url())
    users = await rig.users(3)
    waits = []
    for number in range(rig.times(1)):
        rig.daemons[:] = [stopping]
        stopped = asyncio.Event()

        def stop(stopped: asyncio.Event = stopped) -> None:
            kill(stopping.process.pid, signal.SIGSTOP)
            stopped.set()

        async with rig.crowd(users, singles=8, batchers=1, name=f"s{number}") as crowd:
            await crowd.flow(100)
            proxy.on_locks = stop
            async with asyncio.timeout(PATIENCE_S):
                await stopped.wait()
            rig.faults_injected += 1
            rig.daemons[:] = [other]
            try:
                async with rig.crowd(users, singles=8, batchers=1, name=f"o{number}") as others:
                    started = perf_counter()
                    await others.flow(100)
                    waits.append(perf_counter() - started)
            finally:
                kill(stopping.process.pid, signal.SIGCONT)
            await crowd.flow(100)
    rig.took("the other waited, and the timeout is 10 s", max(waits), 10 + 2 * ROOM)


@scenario("exactly 1,000 accepted")
async def one_user_on_three_replicas(rig: Rig) -> None:
    """1,000 credits, 10,000 deducts of one, a tenth of them in requests of their own."""
    server = await rig.server()
    for _ in range(3):
        await rig.daemon(server.url())
    for number in range(max(1, rig.times(1) // 4)):
        (user,) = await rig.users(1, credits=1000)
        async with rig.crowd([user], singles=0, batchers=0, abandon=0, name=f"d{number}") as crowd:
            groups = [[Ask(user, crowd.key(), "deduct", 1)] for _ in range(1000)]
            groups += [[Ask(user, crowd.key(), "deduct", 1) for _ in range(50)] for _ in range(180)]
            rig.random.shuffle(groups)
            answers = await _at_once(crowd, groups, 48)
        accepted = [told for told in answers if told == 201]
        rig.faults_injected += len(answers) - len(accepted)
        assert len(answers) == 10_000
        assert set(answers) == {201, 402}
        assert len(accepted) == 1000, f"{len(accepted)} of 1,000 credits were spent"
    rig.figures["accepted"] = "1,000 of 10,000"


@scenario("one applied, the rest replays; another body: 422")
async def one_key_a_hundred_times(rig: Rig) -> None:
    server = await rig.server()
    for _ in range(3):
        await rig.daemon(server.url())
    users = await rig.users(4, credits=5000)
    async with rig.crowd(users, singles=0, batchers=0, name="k") as crowd:
        for _ in range(rig.times(15)):
            ask = Ask(rig.random.choice(users), crowd.key(), "deduct", rig.random.randint(1, 9))
            told = [each[0] for each in await asyncio.gather(*(crowd.pursue([ask]) for _ in range(100)))]
            assert len(set(told)) == 1, f"one key, several answers: {set(told)}"
            assert told[0].status == 201
            (other,) = await crowd.pursue([ask._replace(credits=10)])
            assert (other.status, other.code) == (422, "idempotency_key_reused")
            rig.faults_injected += 100


@scenario("order comes from seq; the books agree")
async def clock_jumps(rig: Rig) -> None:
    """The daemons' clocks jump by an hour to and fro, each for itself."""
    server = await rig.server()
    clocks = [rig.folder / "clock-1", rig.folder / "clock-2"]
    for clock in clocks:
        clock.write_text("0")
        await rig.daemon(server.url(), module="tests.system.faults.altered_daemon", PEDRO_TEST_CLOCK_FILE=str(clock))
    users = await rig.users(8)
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(10)):
            _set(rig.random.choice(clocks), rig.random.choice([-HOUR_MS, 0, HOUR_MS, 24 * HOUR_MS]))
            rig.faults_injected += 1
            await crowd.flow(rig.random.randint(50, 300))


def _set(clock: Path, error_ms: int) -> None:
    """At once: the daemon reads it all the time."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(str(error_ms))
    fresh.replace(clock)


async def _again(rig: Rig, daemon: Served, url: str, **variables: str) -> Served:
    """A daemon in the place of one that ended, at its address."""
    rig.daemons.remove(daemon)
    return await rig.daemon(url, "--port", daemon.address.rpartition(":")[2], **variables)


async def _at_once(crowd: Crowd, groups: list[list[Ask]], callers: int) -> list[int]:
    """The statuses of all, asked by so many callers."""
    statuses: list[int] = []

    async def call() -> None:
        while groups:
            statuses.extend(told.status for told in await crowd.pursue(groups.pop()))

    await asyncio.gather(*(call() for _ in range(callers)))
    return statuses
