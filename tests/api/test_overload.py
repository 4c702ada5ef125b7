"""Load shedding: readiness ends first, then deducts are refused, last what gives credits."""

import asyncio
import io
from collections import Counter
from time import monotonic

import aiohttp
import orjson

from pedro_ledger.api.server import OVERLOAD_DELAY_S
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.patience import PATIENCE_S
from tests.support.processes import Served, served


async def test_deducts_are_turned_away_before_refunds_and_readiness_tells_first(
    database_url: str, connection: Connection
) -> None:
    settings = settings_for(database_url, operations_in_flight_max=20, operation_timeout_s=300, commit_timeout_s=300)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        users = [await api.user() for _ in range(18)]
        spent = (await api.deduct(users[0], 5)).json["entryId"]
        async with connection.transaction():
            await connection.execute("SELECT FROM pedro_ledger.account FOR UPDATE")  # the database stands still

            async def in_flight(count: int) -> None:
                async with asyncio.timeout(PATIENCE_S):
                    while api.parts.engine.in_flight < count:
                        await asyncio.sleep(0)

            waiting = [asyncio.create_task(api.deduct(user, 1)) for user in users[:14]]
            await in_flight(14)
            ready = await api.get("/readyz", auth=None)
            assert (ready.status, ready.headers["Retry-After"]) == (503, "1")
            waiting += [asyncio.create_task(api.deduct(user, 1)) for user in users[14:16]]
            await in_flight(16)
            asked_at = monotonic()
            refused = await api.deduct(users[16], 1)
            assert monotonic() - asked_at > OVERLOAD_DELAY_S / 2.1, "who asks again at once is slowed down"
            assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
            waiting.append(asyncio.create_task(api.refund(users[0], entryId=spent)))
            waiting += [asyncio.create_task(api.grant(user, 1)) for user in users[:3]]
            await in_flight(20)
            assert (await api.grant(users[17], 1)).code == "overloaded"
        assert {(await each).status for each in waiting} == {201}
        assert (await api.get("/readyz", auth=None)).status == 200
        assert (await api.deduct(users[16], 1)).status == 201
        metrics = (await api.get("/metrics", auth=None)).body.decode()
        assert 'pedro_ledger_turned_away_total{reason="capacity"} 2.0' in metrics


async def test_one_connection_too_many_is_told_so(database_url: str) -> None:
    """On uvloop, as served."""
    async with served(DATABASE_URL=database_url, PEDRO_CONNECTIONS_MAX="3") as daemon:
        host, _, port = daemon.address.removeprefix("http://").partition(":")
        streams = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        for reader, writer in streams:
            writer.write(request)
            assert b"200 OK" in await reader.readuntil(b"}")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1" in head
        assert b'"code":"overloaded"' in body
        streams[0][1].close()
        await streams[0][1].wait_closed()
        statuses: Counter[bool] = Counter()
        async with asyncio.timeout(PATIENCE_S):
            while not statuses[True]:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(request)
                answer = await reader.readuntil(b"}")
                statuses[b"200 OK" in answer] += 1
                writer.close()
        for _, other in streams[1:]:
            other.close()


async def test_large_details_take_a_budget_of_memory_and_no_more(database_url: str) -> None:
    """250 deducts of 1 MB at once, tried again until each is applied."""
    body = orjson.dumps({"operationType": "AI_TEXT_CHAT", "credits": 1, "details": {"text": "x" * 1_000_000}})
    limits: Counter[str] = Counter()
    patient = dict.fromkeys(("PEDRO_OPERATION_TIMEOUT_S", "PEDRO_COMMIT_TIMEOUT_S", "PEDRO_BODY_TIMEOUT_S"), "300")
    async with served(DATABASE_URL=database_url, **patient) as daemon, session_to(daemon) as session:

        async def make_user(number: int) -> str:
            headers = {"Authorization": f"Bearer {API_KEY}"}
            async with session.post("/v1/users", json={"clerkId": f"big_{number}"}, headers=headers) as response:
                return str((await response.json())["id"])

        async def deduct(user: str, number: int) -> None:
            headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": f"k-{number}"}
            while True:
                sent = io.BytesIO(body)
                try:
                    async with session.post(f"/v1/users/{user}/deduct", data=sent, headers=headers) as response:
                        status, answer = response.status, orjson.loads(await response.read())
                except aiohttp.ClientConnectionError:  # refused while it was still sending
                    limits["bytes"] += 1
                    continue
                if status == 201:
                    return
                assert (status, answer["code"]) == (503, "overloaded"), answer
                limits[answer["limit"]] += 1

        users = [await make_user(number) for number in range(25)]
        before = daemon.peak_bytes()
        await asyncio.gather(*(deduct(users[number % len(users)], number) for number in range(250)))
        grown = daemon.peak_bytes() - before
    assert grown < 350 * 2**20, f"{grown / 2**20:.0f} MiB"
    assert limits["bytes"] > 0


def session_to(daemon: Served) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(daemon.address, connector=aiohttp.TCPConnector(limit=0))
