"""Reports from rollups and queues equal the query over the raw rows, at any moment and whoever
wrote the rows.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pedro_ledger.postgres.advisory_locks import Lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.reports.catalogue import REPORTS, Asked
from pedro_ledger.store.reports.reader import ReportReader, spans
from pedro_ledger.store.reports.rollups import RollupStep, RollupWorker
from pedro_ledger.store.schema.migrations import migrate
from tests.support.ledgers import Line, adopt, append, make_user
from tests.support.patience import PATIENCE_S
from tests.support.rawreports import assert_equal_to_raw

TYPES = ("AI_TEXT_CHAT", "AI_IMAGE_GENERATION", "SHORTS_MEDIA")
START = datetime(2026, 2, 27, 22, tzinfo=UTC)


@pytest.fixture
def worker(database: Database) -> RollupWorker:
    return RollupWorker(database, interval_s=0.01)


class Traffic:
    """Random changes as the daemon and the app make them."""

    def __init__(self, seed: int, database: Database) -> None:
        self.random = Random(seed)
        self.database = database
        self.users: dict[str, int] = {}
        self.number = 0

    async def change(self, connection: Connection) -> None:
        random = self.random
        kind = random.choices(["lines", "user", "unadopted", "overdrawn", "gone"], [12, 3, 1, 1, 1])[0]
        if not self.users or kind == "user":
            name = self._name()
            await make_user(connection, name, 0, START + timedelta(hours=random.randrange(random.choice([72, 2000]))))
            self.users[name] = 0
        elif kind == "lines":
            name = random.choice(list(self.users))
            lines = []
            for _ in range(random.randrange(1, 6)):
                at = START + timedelta(hours=random.randrange(random.choice([72, 2000])))  # late ones too
                most = self.users[name]
                credits = random.randrange(-most, 60)
                lines.append(
                    Line("deduct", credits, at, random.choice(TYPES))
                    if credits < 0
                    else Line(random.choice(["grant", "refund"]), credits, at, random.choice(TYPES))
                )
                self.users[name] += credits
            await append(connection, name, lines)
        elif kind == "gone":
            name = self._name()
            await make_user(connection, name, random.randrange(200))
            await connection.execute('DELETE FROM "User" WHERE "id" = $1', name)
        else:
            name = self._name()
            await make_user(
                connection, name, random.randrange(200) if kind == "unadopted" else -random.randrange(1, 20)
            )
            if random.random() < 0.7:
                assert await adopt(self.database, [name]) == {}

    def _name(self) -> str:
        self.number += 1
        return f"u{self.number:03}_{self.random.randrange(10**6)}"


@pytest.mark.parametrize("seed", range(4))
async def test_reports_equal_the_raw_query_after_every_change_and_every_step(
    database: Database, connection: Connection, worker: RollupWorker, seed: int
) -> None:
    traffic = Traffic(seed, database)
    for turn in range(40):
        await traffic.change(connection)
        if traffic.random.random() < 0.3:
            await worker.step()
        if turn % 4 == 3:
            await assert_equal_to_raw(connection)
    await worker.roll_up()
    for queue in ("usage_pending", "balance_pending", "signup_pending"):
        assert await connection.fetchval(f"SELECT count(*) FROM pedro_ledger.{queue}") == 0
    await assert_equal_to_raw(connection)


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Connection]:
    connection = await database.connect()
    yield connection
    await connection.close()


async def test_a_change_that_is_committed_late_is_not_lost(
    database: Database, connection: Connection, other: Connection, worker: RollupWorker
) -> None:
    """It was made before others that were seen, committed and rolled_up meanwhile."""
    await make_user(connection, "early")
    await make_user(connection, "late")
    transaction = other.transaction()
    await transaction.start()
    await append(other, "late", [Line("grant", 50, START), Line("deduct", -20, START, "AI_TEXT_CHAT")])
    await append(connection, "early", [Line("grant", 50, START), Line("deduct", -7, START, "AI_TEXT_CHAT")])
    await worker.roll_up()
    await assert_equal_to_raw(connection)
    await transaction.commit()
    await assert_equal_to_raw(connection)
    await worker.roll_up()
    await assert_equal_to_raw(connection)
    top = await REPORTS["top-users"].rows(ReportReader(Reader(database)), Asked())
    assert [(row["userId"], row["creditsUsed"]) for row in top] == [("late", 20), ("early", 7)]


async def test_reports_hold_while_many_write_and_several_roll_up(database: Database, connection: Connection) -> None:
    names = [f"user{n}" for n in range(6)]
    for name in names:
        await make_user(connection, name)
    done = asyncio.Event()
    rolled_up = 0

    async def write(name: str, seed: int) -> None:
        random = Random(seed)
        mine = await database.connect()
        await append(mine, name, [Line("grant", 1000, START)])
        for _ in range(40):
            at = START + timedelta(hours=random.randrange(random.choice([72, 2000])))
            await append(mine, name, [Line("deduct", -random.randrange(1, 9), at, random.choice(TYPES))])
        await mine.close()

    async def roll_up() -> None:
        nonlocal rolled_up
        while not done.is_set():
            step = await RollupWorker(database, interval_s=1).step()
            rolled_up += step.changes

    async def look() -> None:
        while not done.is_set():
            await assert_equal_to_raw(connection)

    others = [asyncio.create_task(job()) for job in (roll_up, roll_up, look)]
    try:
        await asyncio.gather(*(write(name, seed) for seed, name in enumerate(names)))
    finally:
        done.set()
        await asyncio.gather(*others)
    await assert_equal_to_raw(connection)
    rolled_up += await RollupWorker(database, interval_s=1).roll_up()
    assert rolled_up > 240
    await assert_equal_to_raw(connection)


async def test_one_replica_rolls_up_at_a_time(connection: Connection, worker: RollupWorker, other: Connection) -> None:
    await make_user(connection, "u")
    async with other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", Lock.ROLLUPS)
        assert await worker.step() == RollupStep(0, is_full=False)
    assert (await worker.step()).changes > 0


async def test_a_step_is_bounded(
    connection: Connection, database: Database, worker: RollupWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_user(connection, "u")
    await worker.roll_up()
    for _ in range(10):
        await append(connection, "u", [Line("grant", 4, START), *[Line("deduct", -1, START, "AI_TEXT_CHAT")] * 3])
    monkeypatch.setattr("pedro_ledger.store.reports.rollups.STEP_USES", 7)
    monkeypatch.setattr("pedro_ledger.store.reports.rollups.STEP_ROWS", 1)
    assert await worker.step() == RollupStep(7 + 1, is_full=True)
    await assert_equal_to_raw(connection)
    await worker.roll_up()
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.usage_pending") == 0


async def test_rolling_up_ends_while_others_write(connection: Connection, database: Database) -> None:
    """Not with an empty queue: there is none then, and small steps cost most."""

    class Beside(RollupWorker):
        steps = 0

        async def step(self) -> RollupStep:
            self.steps += 1
            await append(connection, "u", [Line("deduct", -1, START, "AI_TEXT_CHAT")])
            return await super().step()

    await make_user(connection, "u")
    await append(connection, "u", [Line("grant", 50, START)])
    worker = Beside(database, interval_s=1)
    async with asyncio.timeout(PATIENCE_S):
        await worker.roll_up()
    assert worker.steps == 1


async def test_what_the_app_recorded_before_the_ledger_came_is_reported(prisma_database_url: str) -> None:
    database = Database(parse_database_url(prisma_database_url))
    connection = await database.connect()
    for number, credits in enumerate((0, 5, 60, 400, -14)):
        await make_user(connection, f"old{number}", credits, START + timedelta(days=number))
        await connection.execute(
            'INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp") '
            "SELECT 'h' || $1 || '-' || n, $1, 'balance_' || $1, ($2::text[])[n % 3 + 1]::\"OperationType\", n - 2, "
            "$3::timestamp + n * interval '1 hour' FROM generate_series(1, $4) AS n",
            f"old{number}", TYPES, START.replace(tzinfo=None), number * 9,
        )  # fmt: skip
    await migrate(database)
    await assert_equal_to_raw(connection)
    await connection.close()


DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.dates(date(2026, 1, 1), date(2026, 6, 1))


@given(st.none() | DAYS, st.none() | DAYS, DAYS)
@example(date.min, date.max, date(2026, 1, 1))
def test_spans_hold_each_day_once_and_are_few(since: date | None, until: date | None, day: date) -> None:
    found = spans(since, until)
    wanted = (since is None or since <= day) and (until is None or day < until)
    held = 0
    for size, first, end in found:
        start = date.fromordinal((day.toordinal() - 1) // size * size + 1)
        held += first <= start < end
    if day != date.max:  # the end of time itself is in no span
        assert held == wanted
    assert sum((end - first).days // size for size, first, end in found if size < 28) <= 2 * (3 + 6)


async def test_what_is_left_over_waits_for_its_tenth_of_the_time_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter([RollupStep(50_000, is_full=True), RollupStep(50_000, is_full=True), RollupStep(9, is_full=False)])
    clock = [0.0]

    class Told(RollupWorker):
        async def step(self) -> RollupStep:
            clock[0] += 0.2
            return next(steps)

    monkeypatch.setattr("pedro_ledger.store.reports.rollups.perf_counter", lambda: clock[0])
    worker = Told(database, interval_s=60)
    assert [await worker.tick() for _ in range(3)] == pytest.approx([1.8, 1.8, 60])
