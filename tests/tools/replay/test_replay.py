"""The whole replay against real daemons."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from yarl import URL

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from pedro_ledger.tools.replay.errors import DaemonLost, ReplayStopped
from pedro_ledger.tools.replay.parallel import Stage, in_parallel
from pedro_ledger.tools.replay.pricing import TokenPrice
from pedro_ledger.tools.replay.progress import Screen
from pedro_ledger.tools.replay.report import ReplayReport
from pedro_ledger.tools.replay.session import ReplayPlan, run_replay
from pedro_ledger.tools.replay.trace import TraceLine
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.patience import PATIENCE_S
from tests.support.processes import command, served, start

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def lines_of(count: int) -> list[TraceLine]:
    return [TraceLine(number + 2, 0.0, number * 7 % 900, number % 300) for number in range(count)]


def plan_of(address: str, lines: list[TraceLine], **changes: object) -> ReplayPlan:
    plan = ReplayPlan(
        Path("trace"), lines, URL(address), API_KEY, "one", 10, 1.0, 1, "AI_TEXT_CHAT", TokenPrice("20"), 300, 0.0, 32
    )
    return plan._replace(**changes)  # type: ignore[arg-type]


async def replayed(
    address: str, lines: list[TraceLine], screen: Screen | None = None, **changes: object
) -> ReplayReport:
    return await run_replay(plan_of(address, lines, **changes), screen or Screen(is_shown=False))


class Alarm(Stage):
    """A stage that tells when so many steps are done."""

    __slots__ = ("_done", "reached", "upto")

    def __init__(self, upto: int) -> None:
        self.reached, self.upto, self._done = asyncio.Event(), upto, 0

    @property
    def done(self) -> int:
        return self._done

    @done.setter
    def done(self, value: int) -> None:
        self._done = value
        if value >= self.upto:
            self.reached.set()


class WatchedScreen(Screen):
    """Shows nothing; rings when so many requests are answered."""

    def __init__(self, upto: int) -> None:
        super().__init__(is_shown=False)
        self.alarm = Alarm(upto)

    @asynccontextmanager
    async def stage(self, title: str, total: int, note: object = None) -> AsyncIterator[Stage]:
        yield self.alarm if title == "requests" else Stage()


async def test_a_trace_through_the_command_and_the_same_run_again(tmp_path: Path, database_url: str) -> None:
    trace = tmp_path / "t.csv"
    rows = [f"2023-11-16 18:15:{i % 60:02}.1234567,{i * 7 % 900},{i % 300}" for i in range(600)]
    trace.write_text("\r\n".join([HEADER, *rows]))
    async with served(DATABASE_URL=database_url) as daemon:

        async def replay(*more: str, key: str = API_KEY) -> tuple[int, str, str]:
            options = ("--url", daemon.address, "--users", "20", "--run-id", "one", *more)
            return await command("replay", str(trace), *options, PEDRO_API_KEY=key)

        priced = ("--credits-per-1k-tokens", "20", "--top-up", "300")
        status, out, err = await replay(*priced, "--json")
        first = orjson.loads(out)
        assert (status, err, out.count("\n")) == (0, "", 1)
        assert (first["requests"], first["accepted"], first["acceptedBefore"], first["refused"]) == (600, 600, 0, 0)
        asked = sum(TokenPrice("20").of(i * 7 % 900 + i % 300) for i in range(600))
        assert first["creditsDeducted"] == asked
        assert first["creditsToppedUp"] == first["topUps"] * 300 > 0
        assert first["operations"] == 600 + 2 * first["topUps"]
        assert (first["booksAgree"], first["usersChecked"], first["firstDisagreements"]) == (True, 20, [])
        assert first["entriesChecked"] == 20 + 600 + first["topUps"]
        latency = first["latencyMs"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]

        status, out, _ = await replay(*priced, "--json")
        again = orjson.loads(out)
        assert (status, again["accepted"], again["acceptedBefore"]) == (0, 600, 600)
        assert (again["creditsDeducted"], again["creditsToppedUp"], again["topUpsBefore"]) == (0, 0, first["topUps"])
        assert again["replayed"] == again["operations"] == first["operations"]
        assert (again["booksAgree"], again["entriesChecked"]) == (True, first["entriesChecked"])

        status, out, _ = await replay(*priced, "--limit", "100")
        assert (status, "100 of them by an earlier replay" in out, "they agree" in out) == (0, True, True)

        status, out, _ = await replay(*priced, "--run-id", "dry", "--no-top-up", "--json")
        dry = orjson.loads(out)
        assert (status, dry["topUps"], dry["accepted"] + dry["refused"], dry["refused"] > 0) == (0, 0, 600, True)

        for options, key, told in [
            (
                ("--run-id", "two", "--feature-costs"),
                API_KEY,
                "No price is set for AI_TEXT_CHAT: leave --feature-costs out",
            ),
            (("--credits-per-1k-tokens", "21"), API_KEY, "give another --run-id"),
            (priced, "wrong-key-0123456789", "refuses the key: give the one that serve printed"),
            ((*priced, "--operation-type", "X"), API_KEY, "answered 422 unknown_operation_type"),
            (("--run-id", "a b"), API_KEY, "--run-id 'a b'"),
            (("--url", "localhost"), API_KEY, "--url localhost: give the daemon's address"),
            (("--url", "http://127.0.0.1:1"), API_KEY, "(Connection refused): start pedro-ledger serve"),
        ]:
            status, out, err = await replay(*options, key=key)
            assert (status, out, err.count("\n"), told in err) == (2, "", 1, True), err
    status, _, err = await command("replay", str(tmp_path / "no"), PEDRO_API_KEY=API_KEY)
    assert (status, err.count("\n"), "No such file" in err) == (2, 1, True)
    status, _, err = await command("replay", str(trace), PEDRO_DATA_DIR=str(tmp_path))
    assert (status, err.count("\n"), "no API key: give the one that serve printed" in err) == (2, 1, True)
    assert (await command("verify", DATABASE_URL=database_url))[0] == 0


async def test_a_kill_of_the_daemon_in_the_middle_loses_nothing_and_does_nothing_twice(database_url: str) -> None:
    screen = WatchedScreen(upto=200)
    async with served(DATABASE_URL=database_url) as first:
        port = first.address.rpartition(":")[2]
        replay = asyncio.create_task(replayed(first.address, lines_of(2000), screen))
        await asyncio.wait({asyncio.create_task(screen.alarm.reached.wait()), replay}, return_when="FIRST_COMPLETED")
        assert not replay.done()
        await first.end(signal.SIGKILL)
        second = await start("--port", port, DATABASE_URL=database_url)
        try:
            report = await replay
        finally:
            await second.end(signal.SIGTERM)
    assert report.retries > 0
    assert (report.tally.accepted, report.tally.accepted_before, report.tally.refused) == (2000, 0, 0)
    assert report.books.agree, report.books.disagreements


async def test_books_that_another_caller_moved_do_not_agree(tmp_path: Path, api: Api) -> None:
    trace = tmp_path / "t.ndjson"
    request = {"contextTokens": 1, "generatedTokens": 1, "user": "ana", "credits": 3}
    times = ("2026-01-31T12:00:00Z", "2026-01-31T12:00:02Z")
    trace.write_bytes(b"\n".join(orjson.dumps({"timestamp": time, **request}) for time in times))
    options = ("--url", api.address, "--key", API_KEY, "--speed", "1", "--run-id", "x", "--json")
    replay = asyncio.create_task(command("replay", str(trace), *options))
    user = "/v1/users/clerk:replay-x-user-ana"
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get(f"{user}/balance")).json.get("creditsRemaining") != 97:
            assert not replay.done(), await replay
    await api.grant("clerk:replay-x-user-ana", 5)
    status, out, _ = await replay
    report = orjson.loads(out)
    assert (status, report["booksAgree"], report["disagreements"], report["accepted"]) == (1, False, 1, 2)
    assert report["seconds"] >= 2
    assert 0 <= report["behindSeconds"] < PATIENCE_S, "nothing but the pace holds it up"
    (named,) = report["firstDisagreements"]
    assert named["clerkId"] == "replay-x-user-ana"
    assert named["problem"] == "seq 3 is a grant of 5 credits that the replay has no receipt of"


async def test_books_are_compared_user_by_user_over_several_pages(api: Api) -> None:
    await api.user()
    report = await replayed(api.address, lines_of(450), users=2)
    assert (report.books.agree, report.books.users, report.books.entries) == (True, 2, 452 + report.tally.top_ups)
    longer = await replayed(api.address, lines_of(500), users=2)
    assert (longer.tally.accepted, longer.tally.accepted_before, longer.books.agree) == (500, 450, True)
    assert longer.tally.credits_deducted == sum(TokenPrice("20").of(n * 7 % 900 + n % 300) for n in range(450, 500))
    shorter = await replayed(api.address, lines_of(100), users=2)
    assert (shorter.tally.accepted_before, shorter.books.agree, shorter.books.entries) == (
        100,
        True,
        longer.books.entries,
    )


async def test_without_top_ups_refusals_stay_and_are_counted(api: Api) -> None:
    lines = [TraceLine(number, 0.0, 1, 1, credits=30) for number in range(2, 12)]
    report = await replayed(api.address, lines, users=1, top_up=0)
    assert (report.tally.accepted, report.tally.refused, report.tally.top_ups) == (3, 7, 0)
    assert (report.tally.credits_deducted, report.books.agree, report.operations) == (90, True, 10)


async def test_a_top_up_covers_what_was_refused(api: Api) -> None:
    report = await replayed(api.address, [TraceLine(2, 0.0, 1, 1, credits=1234)], users=1, top_up=100)
    assert (report.tally.accepted, report.tally.top_ups, report.tally.credits_topped_up) == (1, 1, 1300)
    assert (await api.balance("clerk:replay-one-1")) == 100 + 1300 - 1234


async def test_an_interrupted_replay_goes_on(tmp_path: Path, api: Api) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(f"{HEADER}\n2026-01-31T12:00:00Z,1,1\n2026-01-31T13:00:00Z,1,1\n")
    options = [str(trace), "--url", api.address, "--users", "1", "--run-id", "x", "--credits-per-1k-tokens", "1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pedro_ledger", "replay", *options, "--speed", "1", "--key", API_KEY,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get("/v1/users/clerk:replay-x-1/balance")).json.get("creditsRemaining") != 99:
            assert process.returncode is None
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err.count(b"\n"), b"with --run-id x goes on" in err) == (130, 1, True), err
    status, out, _ = await command("replay", *options, "--json", PEDRO_API_KEY=API_KEY)
    report = orjson.loads(out)
    assert (status, report["accepted"], report["acceptedBefore"], report["creditsDeducted"]) == (0, 2, 1, 1)


async def test_prices_come_from_the_feature_costs(api: Api, connection: Connection) -> None:
    costs = """INSERT INTO "AdminSettings" ("featureCosts", "updatedAt") VALUES ('{"SHORTS_SCRIPT": 4, "SHORTS_MEDIA": 5}', now())"""
    await connection.execute(costs)
    async with asyncio.timeout(PATIENCE_S):
        while (await api.deduct(await api.user(), None, operationType="SHORTS_SCRIPT")).status != 201:
            pass
    lines = [line._replace(operation_type="SHORTS_SCRIPT") for line in lines_of(10)]
    report = await replayed(api.address, [*lines, *lines_of(20)[10:]], price=None, operation_type="SHORTS_MEDIA")
    assert (report.tally.accepted, report.tally.credits_deducted, report.books.agree) == (20, 90, True)


async def test_a_daemon_that_sheds_load_is_asked_again(database_url: str) -> None:
    settings = settings_for(database_url, operations_in_flight_max=2)
    async with Daemon(settings).started() as running:
        report = await replayed(running.address, lines_of(12), concurrency=6)
    assert report.retries > 0
    assert (report.tally.accepted, report.books.agree) == (12, True)


async def test_a_daemon_that_stays_away_ends_the_replay(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedro_ledger.tools.replay.session.PATIENCE_S", 0.5)
    screen = WatchedScreen(upto=50)
    async with served(DATABASE_URL=database_url) as daemon:
        replay = asyncio.create_task(replayed(daemon.address, lines_of(5000), screen))
        await screen.alarm.reached.wait()
        await daemon.end(signal.SIGKILL)
        with pytest.raises(DaemonLost, match="did not answer for"):
            await replay


async def test_a_server_that_is_no_ledger_is_told_from_one(api: Api) -> None:
    with pytest.raises(ReplayStopped, match="not_found"):
        await replayed(f"{api.address}/elsewhere", lines_of(1))


async def test_no_more_than_so_many_at_once_begun_in_order_and_the_first_error_ends_all() -> None:
    running, most, begun = 0, 0, list[int]()

    async def work(item: int) -> None:
        nonlocal running, most
        begun.append(item)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if item == 50:
            raise ReplayStopped("enough")

    with pytest.raises(ReplayStopped, match="enough"):
        await in_parallel(range(1000), work, workers=4)
    assert most == 4
    assert begun == list(range(len(begun)))
    assert len(begun) < 60
