"""Something is wrong with one user's rows, under load: the others must not notice."""

import asyncio
from collections.abc import Collection, Sequence
from time import monotonic

from tests.system.faults.crowd import Crowd
from tests.system.faults.rig import Rig, scenario
from tests.system.radius.locks import LOCKS, row_locked

ANSWERED_WITHIN_S = 1.0
ROOM = 5
DEADLINE_S = 2
POOLED = "&pgbouncer=true"
UNNOTICED = "0 neighbours refused, each answered within 1 s; the user of the row is told `busy`, and goes on afterwards"


@scenario(UNNOTICED)
async def balance_rows_locked(rig: Rig) -> None:
    await _hold_rows(rig, ["balance"])


@scenario(UNNOTICED)
async def account_rows_locked(rig: Rig) -> None:
    await _hold_rows(rig, ["account"])


@scenario(UNNOTICED)
async def rows_locked_in_transactions(rig: Rig) -> None:
    """As through a pooler, and the user's row too, which a foreign key locks on servers before
    18.
    """
    await _hold_rows(rig, ["balance", "account", "user"], POOLED)


async def _hold_rows(rig: Rig, rows: Sequence[str], query: str = "") -> None:
    """The app locks a row of one user and forgets it: for 3 s in the quick set, and 12 s in the
    long one.
    """
    server = await rig.server()
    await rig.daemon(server.url() + query, PEDRO_OPERATION_TIMEOUT_S=str(DEADLINE_S))
    users = await rig.users(24)
    holding: list[float] = []
    async with (
        rig.crowd(users[2:], abandon=0) as neighbours,
        rig.crowd(users[:2], singles=6, batchers=0, abandon=0, name="h") as own,
    ):
        await neighbours.flow(rig.times(300))
        before = p99_ms(neighbours.latencies_s)
        for number in range(rig.times(1) * len(rows)):
            row = rows[number % len(rows)]
            strength = rig.random.choice([strength for each, strength in LOCKS if each == row])
            busy = own.statuses.get((503, "busy"), 0)
            neighbours.latencies_s.clear()
            async with row_locked(server.url(), row, strength, users[number % 2]):
                rig.faults_injected += 1
                ends_at = monotonic() + (12 if rig.is_long else 3)
                while monotonic() < ends_at:
                    await neighbours.flow(20)
            holding += neighbours.latencies_s
            if row != "user":
                assert own.statuses.get((503, "busy"), 0) > busy, own.statuses
            await _goes_on(own)
        statuses = dict(neighbours.statuses)
    refused = {told: count for told, count in statuses.items() if told[0] == 0 or told[0] >= 500}
    assert not refused, f"neighbours were told {refused}"
    rig.figures["neighbours' p99 before and while"] = f"{before:.0f} and {p99_ms(holding):.0f} ms"
    rig.figures["longest while"] = f"{max(holding):.2f} s"
    assert max(holding) < ANSWERED_WITHIN_S * ROOM


async def _goes_on(own: Crowd) -> None:
    """The user whose row it was is served again."""
    applied = own.statuses.get((201, None), 0)
    while own.statuses.get((201, None), 0) <= applied:
        await asyncio.sleep(0.01)


def p99_ms(latencies_s: Collection[float]) -> float:
    return sorted(latencies_s)[int(len(latencies_s) * 0.99)] * 1000
