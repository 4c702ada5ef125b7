"""Three daemons behind a real nginx, with and without each user on one of them: the same
correctness.
"""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.client import API_KEY
from tests.support.patience import PATIENCE_S
from tests.support.processes import Served, command, served
from tests.system.replicas.nginx import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
CREDITS = 100
CALLERS = 30
HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@asynccontextmanager
async def behind_nginx(url: str, folder: Path, *, affinity: bool) -> AsyncIterator[tuple[str, list[Served]]]:
    folder.chmod(0o711)
    async with AsyncExitStack() as stack:
        daemons = [await stack.enter_async_context(served(DATABASE_URL=url)) for _ in range(3)]
        replicas = [daemon.address.removeprefix("http://") for daemon in daemons]
        yield await stack.enter_async_context(nginx(folder, replicas, affinity=affinity)), daemons


async def post(session: aiohttp.ClientSession, url: str, body: object, key: str = "") -> tuple[int, dict[str, object]]:
    """Ask until there is an answer that is none of 502, 503 and 504, or a connection that
    breaks.
    """
    while True:
        try:
            async with session.post(
                url, json=body, headers=HEADERS | ({"Idempotency-Key": key} if key else {})
            ) as response:
                if response.status not in (502, 503, 504):
                    return response.status, await response.json(content_type=None)
        except aiohttp.ClientConnectionError:
            pass


async def stale_units(session: aiohttp.ClientSession, daemons: list[Served]) -> int:
    total = 0
    for daemon in daemons:
        if daemon.process.returncode is None:
            async with session.get(f"{daemon.address}/metrics") as response:
                found = re.search(r"^pedro_ledger_stale_units_total (\S+)$", await response.text(), re.MULTILINE)
                assert found
                total += int(float(found[1]))
    return total


@pytest.mark.parametrize("affinity", [True, False], ids=["a user on one replica", "any replica"])
async def test_one_replica_is_killed_and_every_credit_is_spent_once(
    affinity: bool, database_url: str, tmp_path: Path
) -> None:
    """Each of ten users has 100 credits and is charged 150 times, every charge sent twice at
    once.
    """
    async with (
        behind_nginx(database_url, tmp_path, affinity=affinity) as (address, daemons),
        aiohttp.ClientSession() as session,
        asyncio.timeout(PATIENCE_S),
    ):
        users = []
        for number in range(10):
            status, made = await post(session, f"{address}/v1/users", {"clerkId": f"c{number}"})
            assert status == 201
            users.append(str(made["id"]))
        charges = [(user, f"k{number}") for number in range(150) for user in users for _ in range(2)]
        waiting, receipts, refusals = iter(charges), dict[tuple[str, str], set[object]](), Counter[str]()

        async def caller() -> None:
            for user, key in waiting:
                body = {"operationType": "AI_TEXT_CHAT", "credits": 1}
                status, answer = await post(session, f"{address}/v1/users/{user}/deduct", body, key)
                if status == 201:
                    receipts.setdefault((user, key), set()).add(answer["entryId"])
                else:
                    assert (status, answer["code"]) == (402, "insufficient_credits")
                    refusals[user] += 1
                if len(receipts) == 400 and daemons[0].process.returncode is None:
                    daemons[0].process.send_signal(signal.SIGKILL)
                    await daemons[0].process.wait()

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        assert {len(entries) for entries in receipts.values()} == {1}, "a key was applied twice"
        assert Counter(user for user, _ in receipts) == dict.fromkeys(users, CREDITS)
        assert set(refusals.values()) == {100}
        stale = await stale_units(session, daemons)
        assert stale > 0 or affinity, "replicas that share a user must have met"
    status, said, _ = await command("verify", "--json", DATABASE_URL=database_url)
    assert status == 0, said


async def test_a_daemon_that_was_stopped_and_woken_commits_nothing_stale(database_url: str) -> None:
    """What it had decided before it was stopped is decided again on what the other replica wrote
    meanwhile.
    """
    async with (
        served(DATABASE_URL=database_url) as first,
        served(DATABASE_URL=database_url) as second,
        aiohttp.ClientSession() as session,
        asyncio.timeout(PATIENCE_S),
    ):
        _, made = await post(session, f"{first.address}/v1/users", {"clerkId": "c"})
        spend = "/v1/users/clerk:c/deduct"
        body = {"operationType": "AI_TEXT_CHAT", "credits": 30}
        assert (await post(session, first.address + spend, body, "k0"))[0] == 201
        first.process.send_signal(signal.SIGSTOP)
        late = asyncio.create_task(post(session, first.address + spend, body, "k1"))
        for number in range(2, 4):
            assert (await post(session, second.address + spend, body, f"k{number}"))[0] == 201
        assert not late.done()
        first.process.send_signal(signal.SIGCONT)
        status, answer = await late
        assert (status, answer["code"], answer["creditsAvailable"]) == (402, "insufficient_credits", 10)
        assert await stale_units(session, [first]) == 1
        assert made["id"]
