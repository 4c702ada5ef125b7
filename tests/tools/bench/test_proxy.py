"""The way to the server takes longer, once a round trip.

A clock of the test's own says when; the process is tried once.
"""

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from queue import Queue

import pytest

from pedro_ledger.tools.bench.processes import Server
from pedro_ledger.tools.bench.proxy import DelayProxy
from tests.support.patience import PATIENCE_S

DELAY_MS = 20
DELAY_S = DELAY_MS / 1000
Heard = Queue[bytes]


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    """What a server that sends everything back has received; nothing is its end."""
    received: Heard = Queue()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "server"))
        door.listen()
        mirror = threading.Thread(target=reflect, args=(door, received))
        mirror.start()
        yield received
        mirror.join(PATIENCE_S)
        assert not mirror.is_alive(), "the server was not told that the client is gone"


def reflect(door: socket.socket, heard: Heard) -> None:
    connection, _ = door.accept()
    with connection, suppress(ConnectionError):
        while data := connection.recv(65536):
            heard.put(data)
            connection.sendall(data)
    heard.put(b"")


class Stage:
    """A client before a proxy whose clock stands still until it is set."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.proxy = DelayProxy(folder / "far", folder / "server", DELAY_MS, lambda: self.now_s)
        self.client = socket.socket(socket.AF_UNIX)
        self.client.settimeout(PATIENCE_S)
        self.client.connect(str(folder / "far"))
        self.proxy.pump()

    def receive(self, length: int) -> bytes:
        """Let the proxy forward answers until so much has come; the clock stays where it is."""
        answer = b""
        while len(answer) < length:
            self.proxy.pump()
            assert not self.proxy._under_way, "the way back takes no time"
            if select.select([self.client], [], [], 0)[0]:
                answer += self.client.recv(2**20)
        return answer

    def close(self) -> None:
        """The client hangs up, and that takes its way too."""
        self.client.close()
        while self.proxy._peers:
            self.proxy.pump()
            self.now_s += DELAY_S
        self.proxy.close()


@pytest.fixture
def stage(tmp_path: Path, heard: Heard) -> Iterator[Stage]:
    with closing(Stage(tmp_path)) as stage:
        yield stage


def test_each_round_trip_takes_longer_once(stage: Stage) -> None:
    for number in range(1, 4):
        sent_at_s = stage.now_s
        stage.client.sendall(b"%d" % number)
        stage.proxy.pump()
        for early_s in (0, 0.5 * DELAY_S, 0.99 * DELAY_S):
            stage.now_s = sent_at_s + early_s
            stage.proxy.pump()
            assert len(stage.proxy._under_way) == 1, "it is held back"
        stage.now_s = sent_at_s + DELAY_S
        assert stage.receive(1) == b"%d" % number


def test_what_is_sent_together_is_delayed_together(stage: Stage) -> None:
    pieces = [os.urandom(10_000) for _ in range(10)]
    for piece in pieces:
        stage.client.sendall(piece)
        stage.proxy.pump()
    assert len(stage.proxy._under_way) == len(pieces)
    data = b"".join(pieces)
    stage.now_s = DELAY_S
    assert stage.receive(len(data)) == data


def test_last_words_arrive(stage: Stage, heard: Heard) -> None:
    stage.client.sendall(b"goodbye")
    stage.client.shutdown(socket.SHUT_WR)
    for _ in range(2):  # the words, and then their end
        stage.proxy.pump()
    stage.now_s = DELAY_S
    stage.proxy.pump()
    assert [heard.get(timeout=PATIENCE_S) for _ in range(2)] == [b"goodbye", b""]


def test_the_process_delays(tmp_path: Path, heard: Heard) -> None:
    command = [
        sys.executable, "-m", "pedro_ledger.tools.bench.proxy", str(tmp_path / "far"), str(tmp_path / "server"), str(DELAY_MS)
    ]  # fmt: skip
    proxy = Server("the proxy", command, os.environ, tmp_path / "log")
    with ExitStack() as stack:
        stack.callback(proxy.stop)
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(PATIENCE_S)
        client.connect(proxy.address)
        started = time.monotonic()
        for _ in range(5):
            client.sendall(b"x")
            assert client.recv(100) == b"x"
        assert time.monotonic() - started >= 5 * DELAY_S
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
