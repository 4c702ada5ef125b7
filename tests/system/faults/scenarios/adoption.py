"""Users whom the app made are touched for the first time, under load, while something is wrong with
one of them, or with the app's schema.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic

import asyncpg

from tests.system.faults import PATIENCE_S
from tests.system.faults.crowd import Crowd
from tests.system.faults.journal import Ask
from tests.system.faults.rig import Rig, scenario
from tests.system.faults.scenarios.neighbours import ANSWERED_WITHIN_S, DEADLINE_S, POOLED, ROOM, p99_ms

NEWCOMERS_AT_ONCE = 4
UNNOTICED = "0 neighbours refused, new ones too, each answered within 1 s; ready; who is in the way is told so"
REQUIRE = """ALTER TABLE "{table}" ADD COLUMN "tier" text NOT NULL DEFAULT 'free';
    ALTER TABLE "{table}" ALTER COLUMN "tier" DROP DEFAULT"""
"""As Prisma's client-side defaults leave it."""
MEND = """ALTER TABLE "{table}" DROP COLUMN "tier" """


@scenario(UNNOTICED)
async def adoption_locked(rig: Rig) -> None:
    """The app inserts a user's balance, and forgets to commit."""
    await _beside_newcomers(rig, stops=False)


@scenario(UNNOTICED)
async def adoption_locked_in_transactions(rig: Rig) -> None:
    """As through a pooler."""
    await _beside_newcomers(rig, stops=False, query=POOLED)


@scenario(UNNOTICED)
async def adoption_stopped(rig: Rig) -> None:
    """SIGSTOP of the backend that adopts a user."""
    await _beside_newcomers(rig, stops=True)


async def _beside_newcomers(rig: Rig, *, stops: bool, query: str = "") -> None:
    """For 3 s in the quick set, and 12 s in the long one."""
    server = await rig.server()
    # Who is in one batch with a backend that falls silent waits until it is given up, about 4 s.
    deadline_s = 5 * DEADLINE_S if stops else DEADLINE_S
    await rig.daemon(server.url() + query, PEDRO_OPERATION_TIMEOUT_S=str(deadline_s))
    before, holding = list[float](), list[float]()
    async with _neighbours(rig) as (known, newcomers):
        await known.flow(rig.times(200))
        before += [*known.latencies_s, *newcomers.latencies_s]
        for number in range(rig.times(1)):
            app = await asyncpg.connect(server.url())
            async with app.transaction():
                held = await _bare_user(rig, server.url(), f"held_{number}")
                await _insert_balance(app, held)
                async with rig.crowd([held], singles=2, batchers=0, abandon=0, name=f"h{number}") as own:
                    pid = await _stop_adoption(server.url()) if stops else 0
                    rig.faults_injected += 1
                    try:
                        holding += await _latencies_while(known, newcomers, 12 if rig.is_long else 3)
                        assert await rig.readiness() == 200
                        while not (told := {code for status, code in own.statuses if status == 503}):
                            await asyncio.sleep(0.01)
                        assert told in ({"busy"}, {"unavailable"}, {"busy", "unavailable"}), own.statuses
                    finally:
                        if stops:
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(pid, signal.SIGCONT)
                    await app.execute("COMMIT; BEGIN")
                    while (201, None) not in own.statuses:
                        await asyncio.sleep(0.01)
            await app.close()
    _assert_unnoticed(rig, before, holding, known, newcomers)


@scenario(
    "new users who cannot be adopted are told `schema_changed`, 0 neighbours refused; deducts go on once it is mended"
)
async def schema_changed_under_load(rig: Rig) -> None:
    """A required column of balances, which only users without one meet; then one of the history,
    which every deduct meets. Each is mended while the load goes on.
    """
    server = await rig.server()
    await rig.daemon(server.url(), PEDRO_OPERATION_TIMEOUT_S=str(DEADLINE_S))
    app = await asyncpg.connect(server.url())
    before, holding = list[float](), list[float]()
    async with _neighbours(rig) as (known, newcomers):
        await known.flow(rig.times(200))
        before += [*known.latencies_s, *newcomers.latencies_s]
        for number in range(rig.times(1)):
            # The app writes its own rows for new users, and knows the column.
            await app.execute(REQUIRE.format(table="CreditBalance") + _FILLER)
            rig.faults_injected += 1
            bare = await _bare_user(rig, server.url(), f"bare_{number}", credits=0)
            async with rig.crowd([bare], singles=2, batchers=0, abandon=0, name=f"b{number}") as own:
                holding += await _latencies_while(known, newcomers, 12 if rig.is_long else 3)
                assert await rig.readiness() == 200
                await own.until_told(503, "schema_changed")
                await app.execute(MEND.format(table="CreditBalance") + _NO_FILLER)
                while not own.statuses.keys() & {(201, None), (402, "insufficient_credits")}:
                    await asyncio.sleep(0.01)
        _assert_unnoticed(rig, before, holding, known, newcomers)
        for _ in range(rig.times(1)):
            await app.execute(REQUIRE.format(table="UsageHistory"))
            rig.faults_injected += 1
            await known.until_told(503, "schema_changed", 10)
            await rig.until_unready("tier")
            await app.execute(MEND.format(table="UsageHistory"))
            await rig.until_ready()
            await known.flow(rig.times(200))
    await app.close()


_FILLER = """;
    CREATE FUNCTION fill_tier() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW."userId" LIKE 'new%' THEN NEW."tier" := 'free'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER fill_tier BEFORE INSERT ON "CreditBalance" FOR EACH ROW EXECUTE FUNCTION fill_tier()"""
_NO_FILLER = """; DROP TRIGGER fill_tier ON "CreditBalance"; DROP FUNCTION fill_tier()"""


@asynccontextmanager
async def _neighbours(rig: Rig) -> AsyncIterator[tuple[Crowd, Crowd]]:
    """Users that the daemon knows, and users who are touched for the first time, all under load."""
    users = await rig.users(16)
    numbers, over = count(), asyncio.Event()
    async with (
        rig.crowd(users, abandon=0) as known,
        rig.crowd([], singles=0, batchers=0, abandon=0, name="n") as newcomers,
    ):

        async def come() -> None:
            while not over.is_set():
                for user in await rig.openings(10, name=f"new_{next(numbers)}"):
                    await newcomers.pursue([Ask(user, newcomers.key(), "deduct", 1)])

        coming = [asyncio.create_task(come()) for _ in range(NEWCOMERS_AT_ONCE)]
        try:
            yield known, newcomers
        finally:
            over.set()
            await asyncio.gather(*coming)


async def _latencies_while(known: Crowd, newcomers: Crowd, seconds: float) -> list[float]:
    for crowd in (known, newcomers):
        crowd.latencies_s.clear()
    ends_at = monotonic() + seconds
    while monotonic() < ends_at:
        await known.flow(20)
    assert newcomers.latencies_s, "nobody came for the first time meanwhile"
    return [*known.latencies_s, *newcomers.latencies_s]


def _assert_unnoticed(rig: Rig, before: Collection[float], holding: Collection[float], *neighbours: Crowd) -> None:
    refused = {
        told: times for crowd in neighbours for told, times in crowd.statuses.items() if told[0] == 0 or told[0] >= 500
    }
    assert not refused, f"neighbours were told {refused}"
    rig.figures["neighbours' p99 before and while"] = f"{p99_ms(before):.0f} and {p99_ms(holding):.0f} ms"
    rig.figures["longest while"] = f"{max(holding):.2f} s"
    if rig.is_long:  # a busy machine would break a limit in the quick set
        assert max(holding) < ANSWERED_WITHIN_S * ROOM


async def _bare_user(rig: Rig, url: str, user: str, credits: int = 500) -> str:
    """A user without a balance, who will be opened with `credits`."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ($1, 'clerk_' || $1, now())""", user
    )
    await connection.close()
    rig.journal.user(user, "opening", credits)
    return user


async def _insert_balance(app: asyncpg.Connection, user: str) -> None:  # type: ignore[type-arg]
    await app.execute(
        'INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt") '
        "VALUES ('balance_' || $1, $1, 'clerk_' || $1, 500, now())",
        user,
    )


async def _stop_adoption(url: str) -> int:
    """The process that waits for the balance which the app has not committed, stopped."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                pid = await connection.fetchval(
                    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '-- An empty balance%'"
                )
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):  # it had just given up; the next one comes
                        os.kill(pid, signal.SIGSTOP)
                        return int(pid)
    finally:
        await connection.close()
