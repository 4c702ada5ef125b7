"""Every fault in one trial, as a bad night has them."""

import asyncio
import signal
from collections import Counter

from tests.support.processes import Served
from tests.system.faults.postgres import ChildServer, kill
from tests.system.faults.proxy import CUTS, SILENCES, SLOWNESS, FaultProxy
from tests.system.faults.rig import Rig, scenario

LIMITS = {"PEDRO_COMMIT_TIMEOUT_S": "1", "PEDRO_OPERATION_TIMEOUT_S": "5"}


@scenario("nothing lost, nothing twice, whatever comes together")
async def everything_at_once(rig: Rig) -> None:
    """Two daemons, one as through a pooler, each behind a proxy; every fault in turn, by the seed,
    without a pause between.
    """
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
