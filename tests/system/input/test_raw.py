"""Bytes that no HTTP library would send: smuggled, dribbled, bombed, mutated.

Nothing slips through, nobody else notices.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pedro_ledger.api import server
from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.patience import PATIENCE_S
from tests.support.processes import served

BODY = b'{"operationType": "AI_TEXT_CHAT", "credits": 1}'


def deduct(
    user: str, key: str, *headers: bytes, body: bytes = BODY, length: bool = True, end: bytes = b"\r\n"
) -> bytes:
    lines = [
        f"POST /v1/users/{user}/deduct HTTP/1.1".encode(),
        b"Host: x",
        f"Authorization: Bearer {API_KEY}".encode(),
        f"Idempotency-Key: {key}".encode(),
        *([f"Content-Length: {len(body)}".encode()] if length else []),
        *headers,
        b"",
        body,
    ]
    return end.join(lines)


HANGS_UP_S = 0.3
"""After so long without a word from the caller the daemon of these tests closes the connection."""


@pytest.fixture
async def hasty(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A daemon that waits for nobody: whatever it was sent, it closes the connection in the end."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", HANGS_UP_S)
    settings = settings_for(database_url, body_timeout_s=HANGS_UP_S)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        yield api


async def converse(api: Api, sent: bytes, *, answers: int | None = None) -> bytes:
    """Everything that comes back until the daemon closes, or until so many answers have come."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while answers is None or answer.count(b"HTTP/1.1 ") < answers:
                part = await reader.read(2**16)
                if not part:
                    break
                answer += part
        return answer
    except ConnectionResetError:
        return answer
    finally:
        writer.close()


def smuggled(user: str) -> dict[str, bytes]:
    inner = deduct(user, "inner")
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    return {
        "a length and chunks": deduct(user, "a", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + inner),
        "chunks and a length": deduct(user, "b", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=chunked, length=False),
        "two lengths": deduct(user, "c", b"Content-Length: 5"),
        "a length with a sign": deduct(user, "d", b"Content-Length: +47", length=False),
        "a length in words": deduct(user, "e", b"Content-Length: 0x2f", length=False),
        "a length that is negative": deduct(user, "f", b"Content-Length: -1", length=False),
        "chunks said twice": deduct(user, "g", b"Transfer-Encoding: chunked, chunked", body=chunked, length=False),
        "an unknown coding": deduct(user, "h", b"Transfer-Encoding: xchunked", body=inner, length=False),
        "a coding behind a tab": deduct(user, "i", b"Transfer-Encoding:\x0bchunked", body=inner, length=False),
        "a blank before the colon": deduct(user, "j", b"Transfer-Encoding : chunked", body=chunked, length=False),
        "a folded header": deduct(user, "k", b"X: a\r\n b"),
        "a NUL in a header": deduct(user, "l", b"X: a\0b"),
        "a bare CR": deduct(user, "m", b"X: a\rContent-Length: 5"),
        "a chunk of no size": deduct(user, "n", b"Transfer-Encoding: chunked", body=b"\r\n" + inner, length=False),
        "a chunk of a wrong size": deduct(user, "o", b"Transfer-Encoding: chunked", body=b"5\r\n%b\r\n0\r\n\r\n" % BODY, length=False),
        "a chunk of too many digits": deduct(user, "p", b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n", length=False),
        "another protocol": deduct(user, "q").replace(b"HTTP/1.1", b"HTTP/9.9"),
        "no host, no method": b" /v1/users HTTP/1.1\r\n\r\n",
        "a very long target": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "a very long header": deduct(user, "r", b"X: " + b"a" * 70_000),
        "a hundred thousand headers": deduct(user, "s", *[b"X: 1"] * 100_000),
    }  # fmt: skip


@pytest.mark.parametrize("name", smuggled("u"))
async def test_nothing_is_smuggled_past_the_parser(hasty: Api, name: str) -> None:
    api = hasty
    user = await api.user(100)
    answer = await converse(api, smuggled(user)[name])
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    status = int(answer.split()[1]) if answer else 400
    assert status in {400, 404, 408, 413, 414, 431, 501, 505}, answer
    assert await api.balance(user) == 100


async def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    user = await api.user(100)
    answer = await converse(api, b"".join(deduct(user, f"k{number}") for number in range(5)), answers=5)
    assert answer.count(b"HTTP/1.1 201") == 5
    assert await api.balance(user) == 95


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_mutated_requests_never_break_it(hasty_to_one: Api, data: st.DataObject) -> None:
    api = hasty_to_one
    request = bytearray(deduct("clerk:target", data.draw(st.sampled_from(["k1", "k2"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(request)))
        cut = data.draw(st.integers(0, 4))
        request[place : place + cut] = data.draw(st.binary(max_size=4))
    answer = await converse(api, bytes(request))
    for part in answer.split(b"HTTP/1.1 ")[1:]:
        assert 200 <= int(part[:3]) < 500, (bytes(request), answer)
    assert (await api.get("/livez", auth=None)).status == 200


@pytest.fixture
async def hasty_to_one(hasty: Api) -> Api:
    await hasty.post("/v1/users", {"clerkId": "target"})
    return hasty


async def test_who_dribbles_is_let_go(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that never ends, and a body that never ends, a byte at a time."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.5)
    async with Daemon(settings_for(database_url, body_timeout_s=0.5)).started() as running, Api.open(running) as api:
        user = await api.user(100)
        host, _, port = api.address.removeprefix("http://").partition(":")
        whole = deduct(user, "slow")
        for head, rest in ((whole[:20], b"a"), (whole[:-10], b" ")):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head)
            answer = asyncio.create_task(reader.read())
            async with asyncio.timeout(PATIENCE_S):
                while not answer.done():
                    await asyncio.sleep(0.05)
                    if not writer.transport.is_closing():
                        writer.write(rest)
            writer.close()
            told = b"" if answer.exception() is not None else answer.result()
            assert not told or told.startswith(b"HTTP/1.1 408")
        assert await api.balance(user) == 100


async def test_a_bomb_does_not_go_off(database_url: str) -> None:
    """A megabyte that would unpack to a gigabyte."""
    bomb = gzip.compress(bytes(2**20), 9) * 900
    assert len(bomb) < 2**20
    async with served(DATABASE_URL=database_url) as daemon:
        host, _, port = daemon.address.removeprefix("http://").partition(":")

        def resident_mib() -> float:
            return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20

        before = resident_mib()
        for _ in range(3):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(deduct("u", "k", b"Content-Encoding: gzip", body=bomb))
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.readuntil(b"}")
            writer.close()
            assert answer.split()[1] in {b"400", b"415"}, answer[:200]
        assert resident_mib() - before < 64
