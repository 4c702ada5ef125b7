"""PostgreSQL is killed, stopped, terminated, filled up, made read-only, replaced."""

import asyncio
import os
import signal
from time import perf_counter

from tests.system.faults.postgres import ChildServer, kill
from tests.system.faults.rig import Rig, scenario

RESUME_WITHIN_S = 2.0
ROOM = 5
SINGLES = 24


@scenario("0 lost; answers resume within 2 s of its return")
async def backend_killed(rig: Rig) -> None:
    server = await rig.server()
    await rig.daemon(server.url())
    users = await rig.users(12)
    pauses = []
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(4)):
            await crowd.flow(rig.random.randint(50, 400))
            backends = await _backends(server)
            kill(rig.random.choice(backends), signal.SIGKILL)
            rig.faults_injected += 1
            pauses.append(await _resumed(rig, crowd, server))
        await crowd.flow(200)
    rig.took("resumed within", max(pauses), RESUME_WITHIN_S * ROOM)


@scenario("0 lost; answers resume within 2 s of its return")
async def postmaster_killed(rig: Rig) -> None:
    server = await rig.server()
    await rig.daemon(server.url())
    users = await rig.users(12)
    pauses = []
    async with rig.crowd(users) as crowd:
        for number in range(rig.times(4)):
            await crowd.flow(rig.random.randint(50, 400))
            await (server.kill() if number % 2 else server.crash())
            rig.faults_injected += 1
            await asyncio.sleep(rig.random.random())
            await server.start()
            pauses.append(await _resumed(rig, crowd, server))
        await crowd.flow(200)
    rig.took("resumed within", max(pauses), RESUME_WITHIN_S * ROOM)


@scenario("0 lost, 0 twice; retries resolve")
async def backends_terminated(rig: Rig) -> None:
    server = await rig.server()
    await rig.daemon(server.url())
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(30)):
            ended = await server.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            rig.faults_injected += int(str(ended))
            await asyncio.sleep(0.1)
        await crowd.flow(200)


@scenario("503 before the deadline, memory bounded")
async def server_stopped(rig: Rig) -> None:
    """SIGSTOP of all of PostgreSQL, until every caller has been told; in the long set for 30 s
    too.
    """
    server = await rig.server()
    limits = {"PEDRO_OPERATION_TIMEOUT_S": "2", "PEDRO_COMMIT_TIMEOUT_S": "1"}
    daemon = await rig.daemon(server.url(), **limits)
    users = await rig.users(12)
    async with rig.crowd(users, singles=SINGLES, abandon=0.5) as crowd:
        await crowd.flow(500)
        before = _resident_mb(daemon.process.pid)
        for length in (0.0, 30.0) if rig.is_long else (0.0,):
            server.freeze()
            rig.faults_injected += 1
            await crowd.until_told(503, "unavailable", SINGLES)  # nothing that they wait for will come
            await asyncio.sleep(length)
            asked = perf_counter()
            assert await rig.readiness() == 503
            rig.took("/readyz answered within", perf_counter() - asked, RESUME_WITHIN_S)
            after = _resident_mb(daemon.process.pid)
            server.thaw()
            await crowd.flow(300)
        await rig.until_ready()
    rig.took("longest answer, with a deadline of 2 s", crowd.slowest_s, 2 + 2)
    rig.figures["memory"] = f"{before} MB before, {after} MB at the end of the silence"
    assert after < before + 64


@scenario("503, unready with the reason, nothing lost; well again without a restart")
async def read_only(rig: Rig) -> None:
    server = await rig.server()
    await rig.daemon(server.url(), PEDRO_OPERATION_TIMEOUT_S="1")
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(2)):
            await crowd.flow(300)
            await server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
            rig.faults_injected += 1
            await rig.until_unready("not a writable primary")
            await crowd.until_told(503, "unavailable")
            await server.execute(
                "SET default_transaction_read_only = off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
            await rig.until_ready()
            await crowd.flow(300)


@scenario("a synchronous standby is promoted: 0 lost, and a standby is not taken for a primary")
async def standby_promoted(rig: Rig) -> None:
    primary = await rig.server("primary", settings={"max_wal_senders": "4"})
    standby = await rig.standby(primary, "standby")
    await primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    proxy = await rig.proxy(primary)
    await rig.daemon(primary.url(proxy.folder), PEDRO_OPERATION_TIMEOUT_S="3")
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        await crowd.flow(rig.times(1500))
        await primary.crash()
        rig.faults_injected += 1
        proxy.target = standby.socket_dir
        proxy.drop_all()
        await rig.until_unready("not a writable primary")
        started = perf_counter()
        await standby.execute("SELECT pg_promote()")
        await crowd.flow(1)
        rig.figures["first acknowledgement after promotion"] = f"{perf_counter() - started:.2f} s"
        await crowd.flow(500)
        await rig.until_ready()
    rig.url = standby.url()


async def _backends(server: ChildServer) -> list[int]:
    """Pids of the daemon's sessions."""
    found = await server.fetchval("SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'pedro_ledger'")
    assert isinstance(found, list)
    return found


async def _resumed(rig: Rig, crowd: object, server: ChildServer) -> float:
    """Seconds from the server's return to the next acknowledgement."""
    await server.until_ready()
    started = perf_counter()
    await crowd.flow(1)  # type: ignore[attr-defined]
    return perf_counter() - started


def _resident_mb(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024**2
