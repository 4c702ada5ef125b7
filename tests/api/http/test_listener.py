"""New connections are accepted at once however busy the loop is; no shortage of files ends it."""

import asyncio
import errno
import socket
from typing import cast

import pytest
import uvloop

from pedro_ledger.api.http import listener
from pedro_ledger.api.http.listener import Listener
from tests.support.patience import PATIENCE_S


class Greeter(asyncio.Protocol):
    """Says hello to who connects."""

    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).taken += 1
        stream = cast(asyncio.Transport, transport)
        stream.write(b"hello")
        stream.close()


@pytest.fixture(autouse=True)
def nobody_yet() -> None:
    Greeter.taken = 0


def test_all_who_wait_are_taken_in_a_few_turns_of_the_loop() -> None:
    """On uvloop, as served: its own server takes one an iteration."""

    async def crowd() -> int:
        door = await Listener.open(Greeter, "127.0.0.1", 0)
        callers = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(200)]
        turns = 0
        while Greeter.taken < len(callers):
            await asyncio.sleep(0)
            turns += 1
        await door.close()
        for caller in callers:
            assert await asyncio.to_thread(caller.recv, 9) == b"hello"
            caller.close()
        return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(crowd()) < 50


async def test_without_files_it_waits_and_then_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PAUSE_S", 0.01)

    class Tired(socket.socket):
        errors = 3

        def accept(self) -> tuple[socket.socket, object]:
            if self.errors:
                self.errors -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    listening = Tired()
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    door = Listener(Greeter, [listening])
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        assert await reader.read() == b"hello"
    writer.close()
    assert listening.errors == 0
    await door.close()


async def test_closed_while_it_pauses_it_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PAUSE_S", 0)
    paused = asyncio.Event()

    class Spent(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            paused.set()
            raise OSError(errno.EMFILE, "Too many open files")

    listening = Spent()
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    door = Listener(Greeter, [listening])
    with socket.create_connection(("127.0.0.1", door.port)):
        await paused.wait()
        await door.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert Greeter.taken == 0


async def test_every_address_of_the_host_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    loop = asyncio.get_running_loop()

    async def both(host: str, port: int, **hints: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert host == "both"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(loop, "getaddrinfo", both)
    door = await Listener.open(Greeter, "both", port)
    for address in ("127.0.0.1", "127.0.0.2"):
        with socket.socket() as caller:
            await asyncio.to_thread(caller.connect, (address, port))
            assert await asyncio.to_thread(caller.recv, 9) == b"hello"
    with pytest.raises(OSError, match="Address already in use"):
        await Listener.open(Greeter, "both", port)
    await door.close()


async def test_an_address_that_this_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` names ::1 also in containers without IPv6; 192.0.2.1 is nobody's (RFC 5737)."""
    hosts = {"half": ["192.0.2.1", "127.0.0.1"], "gone": ["192.0.2.1"]}

    async def resolve(host: str, port: int, **hints: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    door = await Listener.open(Greeter, "half", 0)
    with socket.socket() as caller:
        await asyncio.to_thread(caller.connect, ("127.0.0.1", door.port))
        assert await asyncio.to_thread(caller.recv, 9) == b"hello"
    await door.close()
    with pytest.raises(OSError, match="Cannot assign requested address"):
        await Listener.open(Greeter, "gone", 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_ipv6() -> None:
    door = await Listener.open(Greeter, "::1", 0)
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("::1", door.port)
        assert await reader.read() == b"hello"
    writer.close()
    await door.close()
