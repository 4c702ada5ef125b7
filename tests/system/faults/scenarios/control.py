"""The control: a server that loses what it acknowledged.

The judge must see it, else it proves nothing.
"""

import aiohttp

from tests.system.faults.rig import Rig, scenario

UNSAFE = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}


@scenario("the judge finds what is lost", control=True)
async def control(rig: Rig) -> None:
    server = await rig.server(settings=UNSAFE)
    # The daemon sets synchronous_commit on its own sessions, and would not be ready without: it is
    # altered here.
    await rig.daemon(
        server.url(), module="tests.system.faults.altered_daemon", PEDRO_TEST_SESSION='{"synchronous_commit": "off"}'
    )
    async with aiohttp.ClientSession() as session, session.get(f"{rig.address()}/readyz") as answer:
        assert answer.status == 503, "readiness is refused under settings that lose what is committed"
        assert "synchronous_commit=off" in await answer.text()
    users = await rig.users(12)
    await server.execute("CHECKPOINT")  # the users themselves stay
    async with rig.crowd(users) as crowd:
        await crowd.flow(rig.times(1000))
        server.freeze_wal_writer()
        await crowd.flow(50)
        await server.crash()
        rig.faults_injected += 1
        await server.start()
