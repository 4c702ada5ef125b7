"""The daemon itself is killed, stopped or ended, and several of them share a database."""

import signal

from tests.faults.rig import Rig, scenario

READY_WITHIN_S = 2.0
"""The table's figure; asserted with room, for a busy machine starts a process slowly."""
ROOM = 5


@scenario("0 lost, 0 twice; ready again within 2 s")
async def daemon_killed(rig: Rig) -> None:
    server = await rig.server()
    daemon = await rig.daemon(server.url())
    users = await rig.users(12)
    restarts = []
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(5)):
            await crowd.flow(rig.random.randint(100, round(600 * rig.scale)))
            await daemon.end(signal.SIGKILL)
            rig.faults_injected += 1
            rig.daemons.remove(daemon)
            daemon = await rig.daemon(server.url(), "--port", daemon.address.rpartition(":")[2])
            restarts.append(daemon.seconds)
        await crowd.flow(200)
    rig.figures["ready again after at most"] = f"{max(restarts):.2f} s"
    assert max(restarts) < READY_WITHIN_S * ROOM
