"""Recurring grants by a schedule: each period's once, from the anchor, with what rolls over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pedro_ledger.billing.recurring import RecurringGrants
from pedro_ledger.daemon.app import Daemon, limits_of
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.operations import Deduct, Touch
from pedro_ledger.ledger.periods import Periods
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.billing.schedules import ScheduleStore
from pedro_ledger.store.journal.accounts import AccountReader
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.journal.commit import BatchWriter
from pedro_ledger.telemetry.metrics import Metrics
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.processes import command


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def text(at_ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


async def put(api: Api, user: str, schedule: str = "monthly", **fields: Any) -> Reply:
    return await api.call("PUT", f"/v1/users/{user}/recurring-grants/{schedule}", {"credits": 100, **fields})


async def grants(api: Api, user: str) -> list[tuple[str, int, str | None]]:
    items = (await api.get(f"/v1/users/{user}/grants")).json["items"]
    return [(each["source"], each["remaining"], each["expiresAt"]) for each in items]


async def keys(connection: Connection, user: str) -> list[tuple[str, int]]:
    rows = await connection.fetch(
        "SELECT idempotency_key, credits FROM pedro_ledger.entry "
        "WHERE user_id = $1 AND idempotency_key NOT SIMILAR TO '§signup|d-%' ORDER BY seq",
        user,
    )
    return [(row[0], row[1]) for row in rows]


class Clocked:
    """The engine and the schedules' loop under a clock that the test moves."""

    def __init__(self, engine: Engine, store: ScheduleStore, metrics: Metrics) -> None:
        self.engine = engine
        self.store = store
        self.metrics = metrics
        self.now_ms = 0
        self.loop = RecurringGrants(
            store, engine, metrics.recurring_lag.set, metrics.recurring_missed.inc, lambda: self.now_ms
        )

    async def at(self, when: str) -> None:
        """One tick at a time."""
        self.now_ms = ms(when)
        await self.loop.tick()


@pytest.fixture
async def clocked(api: Api, database_url: str) -> AsyncIterator[Clocked]:
    """Beside a daemon that makes users and shows what there is."""
    async with AsyncExitStack() as stack:
        database = Database(parse_database_url(database_url))
        await database.open()
        stack.push_async_callback(database.close)
        writer = BatchWriter(database, commit_timeout_s=5)
        stack.push_async_callback(writer.close)
        metrics = Metrics()
        found: Clocked
        engine = Engine(
            AccountReader(database, Adopter(database)), writer, metrics, lambda: found.now_ms,
            limits_of(settings_for(database_url)),
        )  # fmt: skip
        found = Clocked(engine, ScheduleStore(database), metrics)
        engine.start()
        stack.push_async_callback(engine.drain, 5)
        yield found


async def set_up(clocked: Clocked, connection: Connection, user: str, **fields: Any) -> None:
    """A schedule that only the test's loop sees: the daemon's is at another time."""
    columns = {
        "credits": 100, "source": "plan", "rollover": None, "anchor": datetime(2027, 1, 31, tzinfo=UTC), "unit": "month",
        "every": 1, "time_zone": "UTC", **fields,
    }  # fmt: skip
    anchor = columns["anchor"]
    await connection.execute(
        "INSERT INTO pedro_ledger.recurring_grant (user_id, id, credits, source, rollover, anchor, unit, every, time_zone, "
        "next_number, next_at, try_at) VALUES ($1, 'monthly', $2, $3, $4, $5, $6, $7, $8, 0, $5, $5)",
        user, columns["credits"], columns["source"], columns["rollover"], anchor, columns["unit"], columns["every"],
        columns["time_zone"],
    )  # fmt: skip


async def test_the_period_that_runs_is_granted_at_once_and_ends_with_itself(api: Api, connection: Connection) -> None:
    user = await api.user(0)
    anchor = "2024-01-31T12:00:00Z"
    reply = await put(api, user, anchor=anchor, source="bonus", rollover={"percent": 50, "cap": 70})
    assert reply.status == 200, reply.body
    periods = Periods(ms("2024-01-31T12:00:00"))
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    number = periods.number_at(now_ms)
    ends = text(periods.end_ms(number))
    assert reply.json == {
        "recurringGrantId": "monthly", "credits": 100, "source": "bonus", "priority": None,
        "rollover": {"percent": 50, "cap": 70, "times": 1, "expiresIn": "nextPeriod"}, "anchor": "2024-01-31T12:00:00.000Z",
        "unit": "month", "every": 1, "timeZone": "UTC", "nextAt": ends, "periodsMissed": 0, "reason": None,
    }  # fmt: skip
    assert await grants(api, user) == [("bonus", 100, ends)]
    for _ in range(3):
        assert (await put(api, user, anchor=anchor, credits=250)).status == 200
    assert await keys(connection, user) == [(f"§recur:monthly:{number}", 100)], (
        "what is changed counts from the next on"
    )
    listed = (await api.get(f"/v1/users/{user}/recurring-grants")).json["items"]
    assert [(each["credits"], each["rollover"], each["nextAt"]) for each in listed] == [(250, None, ends)]


async def test_another_anchor_starts_anew_and_what_runs_stays(api: Api, connection: Connection) -> None:
    user = await api.user(0)
    await put(api, user, unit="day", every=30)
    first = (await api.get(f"/v1/users/{user}/recurring-grants")).json["items"][0]
    await put(api, user, anchor="2020-02-29T00:00:00Z", timeZone="America/Sao_Paulo")
    assert len(await grants(api, user)) == 2
    number = Periods(ms("2020-02-29"), "month", 1, "America/Sao_Paulo").number_at(
        int(datetime.now(UTC).timestamp() * 1000)
    )
    assert [key for key, _ in await keys(connection, user)] == ["§recur:monthly:0", f"§recur:monthly:1:{number}"]
    assert first["nextAt"] in [ends for _, _, ends in await grants(api, user)]


async def test_a_schedule_that_is_ended_grants_no_more_and_one_that_comes_back_grants_no_period_twice(
    api: Api, connection: Connection
) -> None:
    user = await api.user(0)
    await put(api, user)
    path = f"/v1/users/{user}/recurring-grants/monthly"
    assert (await api.call("DELETE", path)).json == {"deleted": "monthly"}
    gone = await api.call("DELETE", path)
    assert (gone.status, gone.json["code"]) == (404, "recurring_grant_not_found")
    assert (await api.get(f"/v1/users/{user}/recurring-grants")).json["items"] == []
    assert len(await grants(api, user)) == 1
    await put(api, user)
    assert await keys(connection, user) == [("§recur:monthly:0", 100)]


async def test_a_schedule_that_begins_later_waits(api: Api) -> None:
    user = await api.user(0)
    reply = await put(api, user, anchor="2090-01-01T00:00:00Z")
    assert (reply.json["nextAt"], await grants(api, user)) == ("2090-01-01T00:00:00.000Z", [])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"timeZone": "Mars/Olympus"}, "timeZone"), ({"every": 0}, "every"), ({"every": 61}, "every"),
        ({"unit": "day", "every": 367}, "every"), ({"credits": 0}, "credits"), ({"credits": 2**31}, "credits"),
        ({"anchor": "yesterday"}, "anchor"), ({"anchor": "2100-01-01T00:00:00Z"}, "anchor"),
        ({"source": "signup"}, "source"), ({"rollover": {"percent": 0}}, "rollover.percent"),
        ({"rollover": {"percent": 1, "times": 13}}, "rollover.times"),
        ({"rollover": {"percent": 1, "expiresIn": "never"}}, "rollover.expiresIn"),
    ],
)  # fmt: skip
async def test_a_schedule_that_cannot_be(api: Api, fields: dict[str, Any], field: str) -> None:
    user = await api.user(0)
    reply = await put(api, user, **fields)
    assert (reply.status, reply.json["code"]) == (422, "invalid_body"), reply.body
    assert reply.json["field"].startswith(field)


async def test_the_longest_and_largest_that_can_be(api: Api) -> None:
    user = await api.user(0)
    assert (await put(api, user, "a", every=60, credits=2**31 - 1 - 1)).status == 200
    assert (await put(api, user, "b", unit="day", every=366, credits=1)).status == 200
    full = await put(api, user, "c", credits=1)
    assert (full.status, full.json["reason"]) == (200, "balance_limit_exceeded"), "it is tried again"
    assert await api.balance(user) == 2**31 - 1


async def test_sixteen_schedules_run_at_most(api: Api) -> None:
    user = await api.user(0)
    for number in range(16):
        assert (await put(api, user, f"s{number}")).status == 200
    refused = await put(api, user, "s16")
    assert (refused.status, refused.json["code"]) == (409, "too_many_recurring_grants")
    assert (await put(api, user, "s15", credits=7)).status == 200
    await api.call("DELETE", f"/v1/users/{user}/recurring-grants/s0")
    assert (await put(api, user, "s16")).status == 200


async def test_months_of_every_length_follow_each_other(
    clocked: Clocked, api: Api, connection: Connection, database_url: str
) -> None:
    user = await api.user(0)
    await set_up(clocked, connection, user, rollover="[50,null,1,null]")
    for when, spent in (("2027-01-31", 90), ("2027-02-28", 55), ("2027-03-31", 0), ("2027-04-30", 20)):
        await clocked.at(f"{when}T00:00:00")
        await clocked.at(f"{when}T00:00:01")
        if spent:
            deducted = await clocked.engine.submit(user, Deduct(f"d{when}", "a", "AI_TEXT_CHAT", spent))
            assert deducted.error is None
    assert await keys(connection, user) == [
        ("§recur:monthly:0", 100), ("d2027-01-31", -90),
        ("§expire:3", -10), ("§rollover:3", 5), ("§recur:monthly:1", 100), ("d2027-02-28", -55),
        ("§expire:7", -50), ("§rollover:7", 25), ("§recur:monthly:2", 100),
        ("§expire:10", -25), ("§expire:11", -100), ("§rollover:11", 50), ("§recur:monthly:3", 100), ("d2027-04-30", -20),
    ]  # fmt: skip
    row = await connection.fetchrow("SELECT next_number, next_at, missed FROM pedro_ledger.recurring_grant")
    assert tuple(row) == (4, datetime(2027, 5, 31, tzinfo=UTC), 0)
    status, out, _ = await command("verify", DATABASE_URL=database_url)
    assert status == 0, out


async def test_of_periods_that_went_by_only_the_one_that_runs_is_granted(
    clocked: Clocked, api: Api, connection: Connection
) -> None:
    user = await api.user(0)
    await set_up(clocked, connection, user, anchor=datetime(2027, 1, 31, 12, tzinfo=UTC))
    await clocked.at("2027-01-31T11:59:59")
    assert await keys(connection, user) == []
    await clocked.at("2027-01-31T12:00:00")
    await clocked.at("2027-05-31T11:59:59")
    await clocked.at("2027-05-31T12:00:00")
    assert [key for key, _ in await keys(connection, user)] == [
        "§recur:monthly:0", "§expire:3", "§recur:monthly:3", "§expire:5", "§recur:monthly:4",
    ]  # fmt: skip
    assert await connection.fetchval("SELECT missed FROM pedro_ledger.recurring_grant") == 2
    assert "pedro_ledger_recurring_periods_missed_total 2.0" in clocked.metrics.render().decode()


async def test_what_has_ended_cannot_be_spent_while_the_next_period_waits_for_the_loop(
    clocked: Clocked, api: Api, connection: Connection
) -> None:
    """The end is booked by whoever touches the account, the loop or not."""
    user = await api.user(7)
    await set_up(clocked, connection, user, rollover="[10,null,1,null]")
    await clocked.at("2027-01-31T00:00:00")
    clocked.now_ms = ms("2027-02-28T00:00:00")
    refused = await clocked.engine.submit(user, Deduct("d", "a", "AI_TEXT_CHAT", 18))
    assert refused.error is not None
    assert refused.error.facts["creditsAvailable"] == 17
    await clocked.at("2027-02-28T00:00:00")
    (await clocked.engine.submit(user, Touch("sweeper")))
    assert await connection.fetchval('SELECT "creditsRemaining" FROM "CreditBalance" WHERE "userId" = $1', user) == 117


async def test_a_grant_whose_note_was_lost_is_found_by_its_key(
    clocked: Clocked, api: Api, connection: Connection
) -> None:
    """Killed between the grant and its note: it is due again, and not made again."""
    user = await api.user(0)
    await set_up(clocked, connection, user)
    await clocked.at("2027-01-31T00:00:00")
    await connection.execute(
        "UPDATE pedro_ledger.recurring_grant SET next_number = 0, granted_number = NULL, granted_seq = NULL, credits = 999, "
        "next_at = '2027-01-31T00:00:00Z', try_at = '2027-01-31T00:00:00Z'"
    )
    await clocked.at("2027-01-31T00:00:02")
    assert await keys(connection, user) == [("§recur:monthly:0", 100)]
    row = await connection.fetchrow("SELECT next_number, granted_seq FROM pedro_ledger.recurring_grant")
    assert tuple(row) == (1, 3)


async def test_a_hundred_users_at_two_replicas_get_each_period_once(
    clocked: Clocked, api: Api, connection: Connection, database_url: str
) -> None:
    users = [await api.user(0) for _ in range(100)]
    for user in users:
        await set_up(clocked, connection, user)
    database = Database(parse_database_url(database_url))
    await database.open()
    writer = BatchWriter(database, commit_timeout_s=5)
    other_clock = 0
    engine = Engine(
        AccountReader(database, Adopter(database)), writer, Metrics(), lambda: other_clock,
        limits_of(settings_for(database_url)),
    )  # fmt: skip
    engine.start()
    other = RecurringGrants(ScheduleStore(database), engine, lambda lag: None, lambda missed: None, lambda: other_clock)
    for when in ("2027-01-31", "2027-02-28", "2027-03-31"):
        clocked.now_ms = ms(f"{when}T00:00:00")
        other_clock = clocked.now_ms + 1500
        claimed = (await other._store.claim(500, other_clock)).schedules  # it is put off, and then settled late
        await connection.execute("UPDATE pedro_ledger.recurring_grant SET try_at = next_at")
        await asyncio.gather(clocked.loop.tick(), *map(other.settle, claimed))
        await connection.execute("UPDATE pedro_ledger.recurring_grant SET try_at = next_at")
    rows = await connection.fetch(
        "SELECT idempotency_key, count(*) FROM pedro_ledger.entry WHERE idempotency_key LIKE '§recur:%' GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(f"§recur:monthly:{number}", 100) for number in range(3)]
    balances = await connection.fetch('SELECT DISTINCT "creditsRemaining" FROM "CreditBalance"')
    assert [row[0] for row in balances] == [100]
    await engine.drain(5)
    await writer.close()
    await database.close()


async def test_a_daemon_grants_what_is_due_by_itself(api: Api, connection: Connection, database_url: str) -> None:
    user = await api.user(0)
    await connection.execute(
        "INSERT INTO pedro_ledger.recurring_grant (user_id, id, credits, source, anchor, unit, every, time_zone, next_number, "
        "next_at, try_at) VALUES ($1, 'monthly', 5, 'plan', now() - interval '1 day', 'month', 1, 'UTC', 0, "
        "now() - interval '1 day', now())",
        user,
    )
    async with Daemon(settings_for(database_url)).started():
        while await api.balance(user) != 5:
            await asyncio.sleep(0.05)
