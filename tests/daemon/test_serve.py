"""The daemon as operators and callers meet it: processes, signals, crashes, several at once."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.client import API_KEY
from tests.support.databases import temporary_folder
from tests.support.patience import PATIENCE_S
from tests.support.processes import Served, command, data_dir_of, served, start

HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


async def make_user(session: aiohttp.ClientSession, address: str, name: str, credits: int) -> str:
    async with session.post(f"{address}/v1/users", json={"clerkId": name}) as response:
        user = str((await response.json())["id"])
    line = {"type": "grant", "user": user, "idempotencyKey": "start", "credits": credits - 100, "source": "topup"}
    async with session.post(f"{address}/v1/operations", json={"operations": [line]}) as response:
        assert (await response.json())["results"][0]["status"] == 201
    return user


async def deduct(session: aiohttp.ClientSession, address: str, user: str, key: str) -> int:
    """The status of a deduct of 1; 0 when the connection broke."""
    try:
        async with session.post(
            f"{address}/v1/users/{user}/deduct",
            json={"operationType": "AI_TEXT_CHAT", "credits": 1},
            headers={"Idempotency-Key": key},
        ) as response:
            await response.read()
            return response.status
    except (aiohttp.ClientError, OSError):
        return 0


async def until_answered(session: aiohttp.ClientSession, address: str, user: str, key: str) -> int:
    """Retry with the same key while the daemon has no room."""
    async with asyncio.timeout(PATIENCE_S):
        while (status := await deduct(session, address, user, key)) in {0, 503}:
            await asyncio.sleep(0.05)
    return status


async def balance(session: aiohttp.ClientSession, address: str, user: str) -> int:
    async with session.get(f"{address}/v1/users/{user}/balance") as response:
        return int((await response.json())["creditsRemaining"])


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=256))


@pytest.mark.embedded
async def test_a_stranger_is_served_on_the_embedded_server(folder: Path) -> None:
    variables = data_dir_of(folder)
    daemon = await start(**variables)
    async with client() as session:
        user = await make_user(session, daemon.address, "ana", 150)
    assert await daemon.end(signal.SIGTERM) == 0
    assert not (folder / "postgres/data/postmaster.pid").exists(), "the server stops with the last daemon"
    async with served(**variables) as again, client() as session:
        assert await balance(session, again.address, user) == 150


async def test_two_daemons_on_one_folder_share_one_server(folder: Path) -> None:
    first, second = await asyncio.gather(start(**data_dir_of(folder)), start(**data_dir_of(folder)))
    async with client() as session:
        user = await make_user(session, first.address, "ana", 150)
        await first.end(signal.SIGKILL)
        assert await balance(session, second.address, user) == 150
        assert await deduct(session, second.address, user, "after the other's end") == 201
    assert await second.end(signal.SIGTERM) == 0


async def test_ten_thousand_deducts_through_two_daemons_take_exactly_what_is_there(database_url: str) -> None:
    async with served(DATABASE_URL=database_url) as one, served(DATABASE_URL=database_url) as two, client() as session:
        user = await make_user(session, one.address, "ana", 1000)

        async def caller(number: int) -> list[int]:
            address = (one, two)[number % 2].address
            return [await until_answered(session, address, user, f"{number}-{i}") for i in range(50)]

        statuses = sum(await asyncio.gather(*(caller(number) for number in range(200))), start=[])
        assert (statuses.count(201), statuses.count(402)) == (1000, 9000)
        assert await balance(session, two.address, user) == 0
    assert (await command("verify", DATABASE_URL=database_url))[0] == 0


async def test_one_key_two_hundred_times_through_two_daemons_is_one_entry(database_url: str) -> None:
    async with served(DATABASE_URL=database_url) as one, served(DATABASE_URL=database_url) as two, client() as session:
        user = await make_user(session, one.address, "ana", 1000)
        statuses = await asyncio.gather(
            *(until_answered(session, (one, two)[i % 2].address, user, "once") for i in range(200))
        )
        assert set(statuses) == {201}
        assert await balance(session, one.address, user) == 999


async def test_nothing_is_lost_or_twice_when_the_daemon_is_killed_again_and_again(database_url: str) -> None:
    """Ten kills under load.

    Acknowledged means there; a retry of what got no answer makes it exactly once.
    """
    acknowledged: set[str] = set()
    asked: set[str] = set()
    daemon = await start(DATABASE_URL=database_url)
    async with client() as session:
        user = await make_user(session, daemon.address, "ana", 1_000_000)
        for kill in range(10):
            count = 0
            enough = asyncio.Event()

            async def caller(
                number: int, served: Served = daemon, kill: int = kill, enough: asyncio.Event = enough
            ) -> None:
                nonlocal count
                for i in range(10_000):
                    key = f"{kill}-{number}-{i}"
                    asked.add(key)
                    if await deduct(session, served.address, user, key) != 201:
                        return
                    acknowledged.add(key)
                    count += 1
                    if count == 200:
                        enough.set()

            callers = [asyncio.create_task(caller(number)) for number in range(32)]
            await enough.wait()
            await daemon.end(signal.SIGKILL)
            await asyncio.gather(*callers)
            daemon = await start(DATABASE_URL=database_url)
        for key in asked:
            assert await until_answered(session, daemon.address, user, key) == 201
        assert await balance(session, daemon.address, user) == 1_000_000 - len(asked)
        assert len(acknowledged) >= 2000
    await daemon.end(signal.SIGTERM)
    assert (await command("verify", DATABASE_URL=database_url))[0] == 0


async def test_sigterm_drains_and_ends_long_before_the_grace(database_url: str) -> None:
    """It ends when it has answered, not when the time is over, which is longer than anybody here
    waits.
    """
    assert PATIENCE_S < 600
    daemon = await start(DATABASE_URL=database_url, PEDRO_SHUTDOWN_GRACE_S="600")
    async with client() as session:
        user = await make_user(session, daemon.address, "ana", 100_000)
        answers: list[int] = []
        flowing = asyncio.Event()

        async def caller(number: int) -> None:
            for i in range(10_000):
                status = await deduct(session, daemon.address, user, f"{number}-{i}")
                if status != 201:
                    return
                answers.append(status)
                if len(answers) > 200:
                    flowing.set()

        callers = [asyncio.create_task(caller(number)) for number in range(16)]
        await flowing.wait()
        async with asyncio.timeout(PATIENCE_S):
            assert await daemon.end(signal.SIGTERM) == 0
        await asyncio.gather(*callers)
        async with served(DATABASE_URL=database_url) as again:
            left = await balance(session, again.address, user)
    assert 100_000 - left >= len(answers)
    assert 100_000 - left - len(answers) <= 16, "only what was under way may have lost its answer"


async def test_wrong_settings_and_a_server_that_is_away_end_in_one_line(folder: Path) -> None:
    for variables, words in (
        ({"PEDRO_PORT": "http"}, "PEDRO_PORT"),
        ({"PEDRO_PROT": "1"}, "did you mean PEDRO_PORT"),
        ({"DATABASE_URL": "mysql://u:secret@h/d"}, "DATABASE_URL must start with postgresql://"),
        ({"DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d"}, "Check DATABASE_URL"),
    ):
        status, out, err = await command("serve", **(data_dir_of(folder) | variables))
        assert status == 2
        assert out == ""
        lines = [line for line in err.splitlines() if line.startswith("pedro-ledger:")]
        assert len(lines) == 1
        assert words in lines[0]
        assert "secret" not in err


@pytest.mark.embedded
@pytest.mark.parametrize("at_terminal", [True, False], ids=["at a terminal", "elsewhere"])
async def test_the_key_is_shown_once_and_at_a_terminal_only(folder: Path, at_terminal: bool) -> None:
    """What a service manager starts has its output in logs. The line to try works everywhere."""
    for is_first in (True, False):
        async with served(**data_dir_of(folder), PEDRO_API_KEY=None, at_terminal=at_terminal) as daemon:
            key = (folder / "api-key").read_text().strip()
            printed = "\n".join(daemon.printed)
            assert (key in printed) == (is_first and at_terminal), printed
            assert str(folder / "api-key") in daemon.printed[0]
            assert await tried(daemon) == b'"creditsRemaining":100', "the printed line works as it is"
            assert await daemon.end(signal.SIGTERM) == 0


async def test_the_first_start_keeps_its_key_private(folder: Path) -> None:
    async with served(**data_dir_of(folder), PEDRO_API_KEY=None):
        assert (folder / "api-key").stat().st_mode & 0o777 == 0o600


async def tried(daemon: Served) -> bytes:
    """What the line to try answers."""
    shown = daemon.printed[-1].removeprefix("try").strip()
    curl = await asyncio.create_subprocess_shell(shown, stdout=asyncio.subprocess.PIPE)
    out, _ = await curl.communicate()
    found = re.search(rb'"creditsRemaining":\d+', out)
    return out if found is None else found[0]


async def test_a_port_that_is_taken_ends_in_one_line(database_url: str) -> None:
    async with served(DATABASE_URL=database_url) as daemon:
        port = daemon.address.rpartition(":")[2]
        status, _, err = await command("serve", "--port", port, DATABASE_URL=database_url)
        assert status == 2
        assert f"Cannot listen on 127.0.0.1:{port}" in err
