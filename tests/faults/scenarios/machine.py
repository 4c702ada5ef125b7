"""What befalls the whole machine: its clock jumps; everything happens at once."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

from tests.faults.postgres import ChildServer, kill
from tests.faults.proxy import CUTS, SILENCES, SLOWNESS, FaultProxy
from tests.faults.rig import Rig, scenario
from tests.support.processes import Served

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
JUMPS_S = (-3600, 0, 3600, 86_400)
LIMITS = {"PEDRO_COMMIT_TIMEOUT_S": "1", "PEDRO_OPERATION_TIMEOUT_S": "5"}


@scenario(
    "order comes from seq; the books agree",
    needs=lambda: "" if LIBRARY else "libfaketime is not installed (Debian: libfaketime)",
)
async def machine_clock_jumps(rig: Rig) -> None:
    """PostgreSQL's clock and the daemon's jump together; libfaketime tells them the time, from a file."""
    clock = rig.folder / "clock"
    clock.write_text("+0")
    clock.chmod(0o644)
    faked = {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    server = await rig.server(variables=faked)
    await rig.daemon(server.url(), **faked)
    users = await rig.users(8)
    seen = set()
    async with rig.crowd(users) as crowd:
        for number in range(rig.times(8)):
            fresh = clock.with_suffix(".new")
            fresh.write_text(f"{JUMPS_S[number % len(JUMPS_S)]:+d}")
            fresh.chmod(0o644)
            fresh.replace(clock)
            rig.faults_injected += 1
            await crowd.flow(rig.random.randint(50, 300))
            seen.add(str(await server.fetchval("SELECT date_trunc('hour', now() AT TIME ZONE 'UTC')")))
    assert len(seen) > 2, f"the server's clock did not jump: {seen}"


@scenario("nothing lost, nothing twice, whatever comes together")
async def everything_at_once(rig: Rig) -> None:
    """Two daemons, one as through a pooler, each behind a proxy; every fault in turn, by the seed, without a pause between."""
    server = await rig.server()
    proxies = [await rig.proxy(server), await rig.proxy(server)]
    urls = [server.url(proxies[0].folder), server.url(proxies[1].folder) + "&pgbouncer=true"]
    daemons = [await rig.daemon(url, **LIMITS) for url in urls]
    users = await rig.users(10) + await rig.openings(6)
    done: Counter[str] = Counter()
    async with rig.crowd(users, singles=16) as crowd:
        for _ in range(rig.times(14)):
            fault = rig.random.choice(
                ["kill daemon", "stop daemon", "crash server", "stop server", "terminate", "wire", "wire", "wire"]
            )
            done[fault] += 1
            place = rig.random.randrange(2)
            match fault:
                case "kill daemon":
                    daemons[place] = await _replace(rig, daemons[place], urls[place])
                case "stop daemon":
                    kill(daemons[place].process.pid, signal.SIGSTOP)
                    await asyncio.sleep(rig.random.random())
                    kill(daemons[place].process.pid, signal.SIGCONT)
                case "crash server":
                    await server.crash()
                    await server.start()
                case "stop server":
                    server.freeze()
                    await asyncio.sleep(2 * rig.random.random())
                    server.thaw()
                case "terminate":
                    await _terminate(server)
                case _:
                    _meddle(rig, proxies[place])
            await crowd.flow(rig.random.randint(1, 60))
        for proxy in proxies:
            proxy.planned.clear()
        await crowd.flow(200)
        await rig.until_ready()
    rig.faults_injected = done.total() - done["wire"] + sum(proxy.done.total() for proxy in proxies)
    rig.figures |= {name: f"{times:,}" for name, times in sorted(done.items())}


def _meddle(rig: Rig, proxy: FaultProxy) -> None:
    proxy.planned.extend(rig.random.choices(CUTS + SILENCES + SLOWNESS, k=rig.random.randint(1, 3)))


async def _terminate(server: ChildServer) -> None:
    await server.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


async def _replace(rig: Rig, daemon: Served, url: str) -> Served:
    """kill -9, and a new one at the same address."""
    await daemon.end(signal.SIGKILL)
    rig.daemons.remove(daemon)
    return await rig.daemon(url, "--port", daemon.address.rpartition(":")[2], **LIMITS)
