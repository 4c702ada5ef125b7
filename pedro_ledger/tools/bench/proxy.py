"""Puts a distance between a client and PostgreSQL: each round trip takes `DELAY_MS` longer.

`python -m pedro_ledger.tools.bench.proxy LISTEN_SOCKET SERVER_SOCKET DELAY_MS`, both paths of Unix
sockets. What the client sends is held back; the way back is not delayed, so that one timer a round
trip is enough. One thread around `select`, whose timeout, unlike that of event loops, is finer than
a millisecond.
"""

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

CHUNK_BYTES = 256 * 1024


class Parcel(NamedTuple):
    """Bytes on their way; no bytes mean that the sender has hung up."""

    due_s: float
    receiver: socket.socket
    data: bytes


class DelayProxy:
    """One listening socket; every client that connects gets a connection of its own to the
    server.
    """

    def __init__(
        self, listen: Path, server: Path, delay_ms: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = str(server)
        self._clock = clock
        self._delay_s = delay_ms / 1000
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._under_way: deque[Parcel] = deque()
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(str(listen))
        self._door.listen(128)

    def run(self) -> None:
        """Forward until the process ends."""
        while True:
            self.pump()

    def close(self) -> None:
        """Close everything that is open."""
        for end in (self._door, *self._peers):
            end.close()

    def pump(self) -> None:
        """Wait for bytes to come in or to be due, and move them."""
        timeout = max(0.0, self._under_way[0].due_s - self._clock()) if self._under_way else None
        readable, _, _ = select.select([self._door, *self._peers], [], [], timeout)
        for source in readable:
            if source is self._door:
                self._admit()
            elif source in self._peers:
                self._receive(source)
        while self._under_way and self._under_way[0].due_s <= self._clock():
            parcel = self._under_way.popleft()
            self._deliver(parcel.receiver, parcel.data)

    def _admit(self) -> None:
        client, _ = self._door.accept()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            return
        self._peers[client], self._peers[server] = server, client
        self._clients.add(client)

    def _receive(self, source: socket.socket) -> None:
        try:
            data = source.recv(CHUNK_BYTES)
        except ConnectionError:
            data = b""
        if source in self._clients and data:
            self._under_way.append(Parcel(self._clock() + self._delay_s, self._peers[source], data))
        elif source in self._clients:
            # The last words that are still under way go first.
            self._under_way.append(Parcel(self._clock() + self._delay_s, self._peers.pop(source), b""))
        else:
            self._deliver(self._peers[source], data)

    def _deliver(self, receiver: socket.socket, data: bytes) -> None:
        if receiver.fileno() < 0:
            return
        try:
            if data:
                receiver.sendall(data)
                return
        except ConnectionError:
            pass
        other = self._peers.pop(receiver, None)
        for end in (receiver, other):
            if end is not None:
                self._peers.pop(end, None)
                self._clients.discard(end)
                end.close()


def main(arguments: list[str]) -> None:
    """The process."""
    listen, server, delay_ms = arguments
    proxy = DelayProxy(Path(listen), Path(server), float(delay_ms))
    with closing(proxy):
        sys.stdout.write(f"listening on {listen}\n")
        sys.stdout.flush()
        proxy.run()


if __name__ == "__main__":
    main(sys.argv[1:])
