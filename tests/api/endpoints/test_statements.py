"""Balances of the past, filters, and pages that stay stable while rows are added."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema.migrations import migrate
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.ledgers import Line, append, make_user

START = datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def pages(api: Api, path: str, limit: int) -> list[list[dict[str, Any]]]:
    found = []
    cursor = ""
    while True:
        reply = await api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        assert reply.status == 200, reply.body
        found.append(reply.json["items"])
        if reply.json["nextCursor"] is None:
            return found
        cursor = f"&cursor={reply.json['nextCursor']}"


async def test_a_balance_of_the_past_is_what_the_entries_say(api: Api, connection: Connection) -> None:
    random = Random(4)
    await make_user(connection, "u")
    at, lines = START, [Line("grant", 1000, START)]
    for _ in range(60):
        at += timedelta(milliseconds=random.choice([0, 0, 1, 5, 60_000]))  # several entries share a moment
        lines.append(Line("deduct", -random.randint(1, 9), at, "AI_TEXT_CHAT"))
    await append(connection, "u", lines)
    moments = {line.at + timedelta(microseconds=us) for line in lines for us in (-1, 0, 1)} | {datetime.now(UTC)}
    for moment in sorted(moments):
        before = [line for line in lines if line.at <= moment]
        reply = await api.get(f"/v1/users/u/balance?at={text(moment)}")
        assert reply.status == 200, reply.body
        assert (reply.json["seq"], reply.json["creditsRemaining"]) == (
            len(before),
            sum(line.credits for line in before),
        )
        if before:
            assert reply.json["updatedAt"] == reply.json["lastSyncedAt"] == text(before[-1].at)[:-4] + "Z"
    assert (await api.get("/v1/users/clerk:clerk_u/balance?at=" + text(at))).json["seq"] == len(lines)


async def test_before_the_first_entry_there_was_nothing(api: Api) -> None:
    user = await api.user(100)
    reply = await api.get(f"/v1/users/{user}/balance?at=2020-01-01T00:00:00%2B02:00")
    assert reply.json == {
        "userId": user, "creditsRemaining": 0, "creditsHeld": 0, "creditsAvailable": 0, "seq": 0,
        "updatedAt": None, "lastSyncedAt": None,
    }  # fmt: skip
    assert (await api.get("/v1/users/nobody/balance?at=2020-01-01T00:00:00Z")).code == "user_not_found"


async def test_before_it_was_adopted_only_the_app_knew_the_balance(api: Api, connection: Connection) -> None:
    await make_user(connection, "old", 70)
    unadopted = (await api.get("/v1/users/old/balance?at=" + text(datetime.now(UTC)))).json
    assert (unadopted["creditsRemaining"], unadopted["seq"]) == (70, 0)
    before = await api.get("/v1/users/old/balance?at=2020-01-01T00:00:00Z")
    assert (before.status, before.code, before.json["knownSince"]) == (404, "balance_not_known", unadopted["updatedAt"])
    await api.deduct("old", 1)
    opening = (await api.statement("old"))[0]
    before = await api.get("/v1/users/old/balance?at=2020-01-01T00:00:00Z")
    assert (before.code, before.json["knownSince"]) == ("balance_not_known", opening["timestamp"])
    assert (await api.get(f"/v1/users/old/balance?at={opening['timestamp']}")).json["creditsRemaining"] == 70


async def test_the_future_is_not_told(api: Api) -> None:
    user = await api.user(100)
    for at in (text(datetime.now(UTC) + timedelta(minutes=1)), "9999-12-31T23:59:59Z", "yesterday", "2026-01-01"):
        reply = await api.get(f"/v1/users/{user}/balance?at={at}")
        assert (reply.status, reply.code, reply.json["field"]) == (400, "invalid_query", "at")


async def test_the_balance_tells_when_what_the_app_sees_was_brought_in_step(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    receipt = (await api.deduct(user, 1)).json
    told = (await api.get(f"/v1/users/{user}/balance")).json
    assert told["lastSyncedAt"] == told["updatedAt"] == receipt["timestamp"]
    at = await connection.fetchval('SELECT "lastSyncedAt" FROM "CreditBalance" WHERE "userId" = $1', user)
    assert text(at.replace(tzinfo=UTC))[:-4] + "Z" == receipt["timestamp"]


async def test_usage_and_statement_are_filtered_by_time_and_usage_by_type(api: Api, connection: Connection) -> None:
    await make_user(connection, "u")
    types = ("AI_TEXT_CHAT", "SHORTS_MEDIA")
    hours = [START + timedelta(hours=n) for n in range(72)]
    lines = [Line("grant", 1000, START)]
    lines += [Line("deduct", -1, at, types[n % 2]) for n, at in enumerate(hours)]
    await append(connection, "u", lines)
    for first, last in ((0, 72), (10, 20), (30, 30), (50, 99), (-5, 3)):
        since, until = START + timedelta(hours=first), START + timedelta(hours=last)
        path = f"?from={text(since)}&to={text(until)}"
        wanted = [at for at in hours if since <= at < until]
        for order in ("asc", "desc"):
            got = sum(await pages(api, f"/v1/users/u/statement{path}&order={order}", 7), start=[])
            assert [entry["seq"] for entry in got] == sorted(
                (seq for seq, line in enumerate(lines, 1) if since <= line.at < until), reverse=order == "desc"
            )
        usage = sum(await pages(api, f"/v1/users/u/usage{path}", 7), start=[])
        assert [row["timestamp"] for row in usage] == [text(at)[:-4] + "Z" for at in reversed(wanted)]
        media = sum(await pages(api, f"/v1/users/u/usage{path}&operationType=SHORTS_MEDIA", 7), start=[])
        assert media == [row for row in usage if row["operationType"] == "SHORTS_MEDIA"]
    assert (await api.get("/v1/users/u/usage?operationType=NOTHING")).code == "unknown_operation_type"


async def test_entries_that_clocks_put_out_of_order_are_found_by_their_time(api: Api, connection: Connection) -> None:
    """Replicas' clocks may disagree: seq goes on, time goes back."""
    await make_user(connection, "u")
    jumps = [0, 60, 1, 61, 2, 62, 3, 63]
    lines = [Line("grant", 1, START + timedelta(minutes=minute)) for minute in jumps]
    await append(connection, "u", lines)
    for order, seqs in (("asc", [2, 4, 6, 8]), ("desc", [8, 6, 4, 2])):
        path = f"/v1/users/u/statement?from={text(START + timedelta(minutes=30))}&order={order}"
        assert [entry["seq"] for page in await pages(api, path, 3) for entry in page] == seqs
    reply = await api.get(f"/v1/users/u/balance?at={text(START + timedelta(minutes=30))}")
    seq = reply.json["seq"]
    assert reply.json["creditsRemaining"] == seq
    assert lines[seq - 1].at <= START + timedelta(minutes=30) < lines[seq].at


@pytest.mark.parametrize("name", ["usage", "statement?order=desc", "statement"])
async def test_pages_stay_where_they_are_while_rows_with_the_same_time_are_added(
    api: Api, connection: Connection, name: str
) -> None:
    """No row of the time of the first page is shown twice or left out, whatever is added."""
    await make_user(connection, "u")
    at = START
    await append(connection, "u", [Line("grant", 500, at)] + [Line("deduct", -1, at, "AI_TEXT_CHAT")] * 40)
    path = f"/v1/users/u/{name}"
    before = [row["id"] for page in await pages(api, path, 200) for row in page]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"{path}{'&' if '?' in path else '?'}limit=7{cursor}")).json
        seen += [row["id"] for row in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
        if len(seen) < len(before):
            await append(connection, "u", [Line("deduct", -1, at, "AI_TEXT_CHAT")] * 3)
    assert len(set(seen)) == len(seen)
    assert [row for row in seen if row in set(before)] == before


async def test_users_made_at_the_same_moment_are_paged_once_each(api: Api, connection: Connection) -> None:
    for number in range(25):
        await make_user(connection, f"u{number:02}", 0, START)
    seen = [user["id"] for page in await pages(api, "/v1/users", 4) for user in page]
    assert seen == [f"u{number:02}" for number in reversed(range(25))]


@pytest.mark.parametrize("cursor", ["x", "e30", "WzFd", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwxXQ", "%00", "W10"])
async def test_a_cursor_that_no_page_gave_is_refused(api: Api, cursor: str) -> None:
    user = await api.user(100)
    assert (await api.get(f"/v1/users/{user}/usage?cursor={cursor}")).code == "invalid_query"


async def test_usage_goes_on_with_what_the_app_recorded_before_the_ledger_came(
    prisma_database_url: str,
) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await make_user(connection, "old", 50)
    await connection.execute(
        'INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "details", "timestamp") '
        "SELECT 'c' || n, 'old', 'balance_old', (ARRAY['AI_TEXT_CHAT', 'SHORTS_MEDIA'])[n % 2 + 1]::\"OperationType\", n, "
        """'{"n": 1}', $1::timestamp + n / 3 * interval '1 minute' FROM generate_series(1, 25) AS n""",
        START.replace(tzinfo=None),
    )
    await migrate(Database(parse_database_url(prisma_database_url)))
    async with Daemon(settings_for(prisma_database_url)).started() as running, Api.open(running) as api:
        unadopted = await pages(api, "/v1/users/old/usage", 4)
        for number in range(9):
            assert (
                await api.deduct("old", 1, operationType="SHORTS_MEDIA" if number % 3 else "AI_TEXT_CHAT")
            ).status == 201
        found = await connection.fetch('SELECT * FROM "UsageHistory" ORDER BY "timestamp" DESC, "id" DESC')
        wanted = [(row["id"], row["operationType"], row["creditsUsed"], row["creditBalanceId"]) for row in found]
        for limit in (1, 4, 9, 10, 200):
            rows = sum(await pages(api, "/v1/users/old/usage", limit), start=[])
            assert [
                (row["id"], row["operationType"], row["creditsUsed"], row["creditBalanceId"]) for row in rows
            ] == wanted
        assert rows[9:] == sum(unadopted, start=[])
        media = sum(await pages(api, "/v1/users/old/usage?operationType=SHORTS_MEDIA", 3), start=[])
        assert media == [row for row in rows if row["operationType"] == "SHORTS_MEDIA"]
        early = sum(await pages(api, f"/v1/users/old/usage?to={text(START + timedelta(minutes=3))}", 3), start=[])
        assert early == [row for row in rows if row["timestamp"] < text(START + timedelta(minutes=3))]
    await connection.close()
