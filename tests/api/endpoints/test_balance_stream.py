"""Balances as they move: what a browser sees, cut anywhere, on any replica."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
import pytest

from pedro_ledger.api.endpoints import balance_stream
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from pedro_ledger.streams import broadcaster
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.keys import bearer_with
from tests.support.patience import PATIENCE_S


class Event(NamedTuple):
    name: str
    seq: int | None
    data: Any


class Stream:
    """A stream's events, one after another."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.content = response.content

    async def next(self) -> Event:
        """The next event; comments and `retry` are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                block = (await self.content.readuntil(b"\n\n")).decode()
                lines = dict(line.split(": ", 1) for line in block.strip().split("\n") if not line.startswith(":"))
                if "event" in lines:
                    seq = int(lines["id"]) if "id" in lines else None
                    return Event(lines["event"], seq, orjson.loads(lines["data"]))

    async def until(self, seq: int) -> list[Event]:
        """Events up to the balance of this seq."""
        found = [await self.next()]
        while (found[-1].name, found[-1].seq) != ("balance", seq):
            found.append(await self.next())
        return found


@asynccontextmanager
async def stream(
    api: Api, user: str, *, after: int | None = None, query: str = "", auth: str = f"Bearer {API_KEY}", **headers: str
) -> AsyncIterator[Stream]:
    sent = {"Authorization": auth, **({} if after is None else {"Last-Event-ID": str(after)}), **headers}
    async with api.session.get(f"{api.address}/v1/users/{user}/balance/stream{query}", headers=sent) as response:
        assert response.status == 200, await response.read()
        yield Stream(response)


@pytest.fixture
async def other(database_url: str, api: Api) -> AsyncIterator[Api]:
    """Another replica on the same database."""
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as other:
        yield other


async def test_the_balance_comes_at_once_and_each_time_it_moves(api: Api) -> None:
    user = await api.user(100)
    async with stream(api, user) as seen:
        assert seen.response.headers["Content-Type"] == "text/event-stream"
        assert (seen.response.headers["Cache-Control"], seen.response.headers["X-Accel-Buffering"]) == (
            "no-store",
            "no",
        )
        assert seen.response.headers["Server"] == "pedro-ledger"
        first = await seen.next()
        told = (await api.get(f"/v1/users/{user}/balance")).json
        assert first.data.keys() == {
            "userId", "creditsRemaining", "creditsHeld", "creditsAvailable", "seq", "timestamp",
        }  # fmt: skip
        assert {name: told[name] for name in first.data if name in told} == {
            name: value for name, value in first.data.items() if name in told
        }
        await api.deduct(user, 30)
        spent = await seen.next()
        assert (spent.name, spent.seq, spent.data["creditsRemaining"]) == ("balance", 2, 70)
        hold = await api.hold(user, 20)
        held = await seen.next()
        assert (held.seq, held.data["creditsAvailable"], held.data["creditsHeld"]) == (3, 50, 20)
        await api.void(hold.json["entryId"])
        assert (await seen.next()).data["creditsAvailable"] == 70


async def test_what_moves_fast_is_one_event(api: Api) -> None:
    user = await api.user(100)
    async with stream(api, user) as seen:
        await seen.next()
        await asyncio.gather(*(api.deduct(user, 1) for _ in range(50)))
        events = await seen.until(51)
        assert len(events) < 25
        assert events[-1].data["creditsRemaining"] == 50
        assert [event.seq for event in events] == sorted({event.seq for event in events})


async def test_nothing_is_sent_to_whoever_has_seen_it(api: Api) -> None:
    user = await api.user(100)
    await api.deduct(user, 1)
    async with stream(api, user, after=2) as seen:
        await api.deduct(user, 1)
        assert (await seen.next()).seq == 3
    async with stream(api, user, after=99) as wrong:
        assert (await wrong.next()).seq == 3


async def test_commits_of_another_replica_are_seen(api: Api, other: Api) -> None:
    user = await api.user(100)
    async with stream(api, user) as here, stream(other, user) as there:
        await here.next()
        await there.next()
        await other.deduct(user, 5)
        assert (await there.next()).data["creditsRemaining"] == 95
        assert (await here.next()).data["creditsRemaining"] == 95


async def test_a_stream_cut_at_every_byte_goes_on_on_another_replica(api: Api, other: Api) -> None:
    """No gap and no double: the ids that were seen whole are 1, 2, 3 … in the end."""
    user = await api.user(100)
    for _ in range(6):
        assert (await api.deduct(user, 1)).status == 201
    replicas = [api, other]
    length = 0
    async with stream(api, user, after=0, query="?entries=true") as whole:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                block = await whole.content.readuntil(b"\n\n")
                length += len(block)
                if b"event: balance" in block:
                    break
    for cut in range(0, length, 23):
        seen, balance, number = [0], 0, 0
        while balance < 7:
            async with stream(replicas[number % 2], user, after=seen[-1], query="?entries=true") as part:
                got = bytearray()
                async with asyncio.timeout(PATIENCE_S):
                    while len(got) < cut + number * 97 and b"event: balance" not in got:
                        got += await part.content.read(max(1, cut + number * 97 - len(got)))
            for block in bytes(got[: cut + number * 97]).split(b"\n\n")[:-1]:  # the last one was cut
                if block.startswith(b"id: "):
                    seq = int(block.split(b"\n")[0][4:])
                    if b"event: entry" in block:
                        assert seq == seen[-1] + 1
                        seen.append(seq)
                    else:
                        balance = seq
            if seen[-1] == 7:
                balance = 7
            number += 1
        assert seen == list(range(8))


async def test_whoever_missed_too_much_is_told_the_balance_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance_stream, "REPLAY_MAX", 3)
    user = await api.user(100)
    for _ in range(4):
        await api.deduct(user, 1)
    async with stream(api, user, after=1, query="?entries=true") as seen:
        reset = await seen.next()
        assert (reset.name, reset.seq, reset.data["creditsRemaining"]) == ("reset", 5, 96)
    async with stream(api, user, after=2, query="?entries=true") as seen:
        assert [event.seq for event in await seen.until(5)] == [3, 4, 5, 5]


async def test_streams_of_one_user_and_of_a_replica_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, bea = await api.user(100), await api.user(100)
    monkeypatch.setattr(broadcaster, "USER_STREAMS_MAX", 2)
    monkeypatch.setattr(broadcaster, "STREAMS_MAX", 3)
    async with stream(api, ana) as first, stream(api, ana), stream(api, bea):
        await first.next()
        monkeypatch.setattr(broadcaster, "STREAMS_MAX", 4)
        third = await api.get(f"/v1/users/{ana}/balance/stream")
        assert (third.status, third.code, third.headers["Retry-After"]) == (429, "too_many_streams", "5")
        monkeypatch.setattr(broadcaster, "STREAMS_MAX", 3)
        full = await api.get(f"/v1/users/{bea}/balance/stream")
        assert (full.status, full.code) == (503, "overloaded")
        assert b"pedro_ledger_balance_streams 3.0" in (await api.get("/metrics", auth=None)).body
    async with asyncio.timeout(PATIENCE_S):
        while api.parts.streams.count:
            await asyncio.sleep(0.01)


async def test_a_key_that_is_revoked_and_a_daemon_that_drains_end_it(
    api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance_stream, "KEEP_ALIVE_S", 0.05)
    user = await api.user(100)
    bearer = await bearer_with(api, connection, Scope.READ)
    async with stream(api, user, auth=bearer) as seen, stream(api, user) as stays:
        await seen.next()
        await stays.next()
        assert await stays.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        await connection.execute("UPDATE pedro_ledger.api_key SET revoked_at = now()")
        bye = await seen.next()
        assert (bye.name, bye.data) == ("bye", {"reason": "token_ended"})
        assert await seen.content.read() == b""
        api.parts.streams.close()
        assert (await stays.next()).data == {"reason": "draining"}


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("nobody/balance/stream", {}, "user_not_found"),
        ("{user}/balance/stream?limit=1", {}, "invalid_query"),
        ("{user}/balance/stream?entries=yes", {}, "invalid_query"),
        ("{user}/balance/stream", {"Last-Event-ID": "latest"}, "invalid_query"),
        ("{user}/balance/stream", {"Last-Event-ID": "-1"}, "invalid_query"),
    ],
)
async def test_what_is_asked_wrongly_is_told(api: Api, path: str, headers: dict[str, str], code: str) -> None:
    user = await api.user(100)
    reply = await api.get(f"/v1/users/{path.format(user=user)}", headers=headers)
    assert reply.code == code


async def test_a_reader_who_does_not_read_costs_no_memory(api: Api) -> None:
    user = await api.user(100)
    async with stream(api, user) as slow:
        await slow.next()
        for _ in range(20):
            await api.deduct(user, 1)
        [subscription] = api.parts.streams._by_user[user]
        assert subscription.account.seq == 21
        assert (await slow.until(21))[-1].data["creditsRemaining"] == 80
