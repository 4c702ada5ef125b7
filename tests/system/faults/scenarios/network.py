"""What a network does to a commit, by the proxy that knows where it is."""

from pedro_ledger.postgres.url import parse_database_url
from tests.system.faults.proxy import CUTS, SILENCES, SLOWNESS
from tests.system.faults.rig import Rig, scenario

QUICK = {"PEDRO_COMMIT_TIMEOUT_S": "0.5", "PEDRO_OPERATION_TIMEOUT_S": "6"}
"""Silence is taken for a failure soon, so that a trial has many."""
APPLIED_ONCE = 'applied exactly once; the answer comes from the key or says to retry; never a false "failed"'


async def _meddle(rig: Rig, faults: tuple[str, ...], times: int, query: str = "") -> None:
    server = await rig.server()
    proxy = await rig.proxy(server)
    await rig.daemon(server.url(proxy.folder) + query, **QUICK)
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        for number in range(rig.times(times)):
            await crowd.flow(rig.random.randint(1, 150))
            proxy.planned.append(faults[number % len(faults)])
            await proxy.until_done(number + 1)
        await crowd.flow(200)
    rig.faults_injected = proxy.done.total()
    rig.figures["commits"] = f"{proxy.commits:,}"
    rig.figures |= {fault: f"{done:,}" for fault, done in sorted(proxy.done.items())}
    rig.figures["longest answer"] = f"{crowd.slowest_s:.1f} s"
    assert set(proxy.done) == set(faults)


@scenario(APPLIED_ONCE)
async def commits_cut(rig: Rig) -> None:
    await _meddle(rig, CUTS, 40)


@scenario(APPLIED_ONCE)
async def commits_silenced(rig: Rig) -> None:
    await _meddle(rig, SILENCES, 9)


@scenario(APPLIED_ONCE)
async def commits_slowed(rig: Rig) -> None:
    await _meddle(rig, SLOWNESS, 10)


@scenario(APPLIED_ONCE)
async def commits_cut_in_transactions(rig: Rig) -> None:
    """As through a pooler: BEGIN, the batch, COMMIT."""
    assert parse_database_url("postgresql://u@/d?host=/s&pgbouncer=true").pgbouncer
    await _meddle(rig, CUTS + SILENCES, 21, "&pgbouncer=true")
