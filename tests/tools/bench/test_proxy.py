import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pedro_ledger.tools.bench.processes import Server

DELAY_MS = 20


@pytest.fixture
def heard() -> list[bytes]:
    """What the server has received."""
    return []


@pytest.fixture
def far(tmp_path: Path, heard: list[bytes]) -> Iterator[socket.socket]:
    """A connection to a server that sends everything back, through the proxy."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "server"))
    door.listen()
    mirror = threading.Thread(target=reflect, args=(door, heard))
    mirror.start()
    command = [
        sys.executable, "-m", "pedro_ledger.tools.bench.proxy", str(tmp_path / "far"), str(tmp_path / "server"), str(DELAY_MS)
    ]  # fmt: skip
    proxy = Server("the proxy", command, os.environ, tmp_path / "log")
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(proxy.address)
            yield client
    finally:
        mirror.join(10)
        proxy.stop()
        door.close()
    assert not mirror.is_alive(), "the server was not told that the client is gone"


def reflect(door: socket.socket, heard: list[bytes]) -> None:
    connection, _ = door.accept()
    with connection, suppress(ConnectionError):
        while data := connection.recv(65536):
            heard.append(data)
            connection.sendall(data)


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        answer += connection.recv(65536)
    return answer


def test_each_round_trip_takes_longer_once(far: socket.socket) -> None:
    ask(far, b"x")
    started = time.monotonic()
    for _ in range(5):
        ask(far, b"x")
    took_ms = (time.monotonic() - started) / 5 * 1000
    assert DELAY_MS <= took_ms < 2 * DELAY_MS


def test_what_is_sent_together_is_delayed_together(far: socket.socket) -> None:
    started = time.monotonic()
    data = os.urandom(100_000)
    assert ask(far, data) == data
    assert time.monotonic() - started < 3 * DELAY_MS / 1000


def test_last_words_arrive(far: socket.socket, heard: list[bytes]) -> None:
    far.sendall(b"goodbye")
    far.shutdown(socket.SHUT_WR)
    while far.recv(100):
        pass
    assert heard == [b"goodbye"]
